// A page that is opened from the disk may not start a worker, and the search is one. Its script runs
// in a hidden frame instead. (The plugin `offline` would fetch such a script from another host, unless
// there is one called iframe-worker.)
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    #frame = document.createElement("iframe");
    #loaded;

    constructor(url) {
      super();
      this.#frame.hidden = true;
      document.body.append(this.#frame);
      const { contentWindow, contentDocument } = this.#frame;
      contentWindow.postMessage = (data) =>
        this.dispatchEvent(new MessageEvent("message", { data }));
      const script = contentDocument.createElement("script");
      script.src = new URL(url, location.href);
      this.#loaded = new Promise((resolve) => script.addEventListener("load", resolve));
      contentDocument.body.append(script);
    }

    async postMessage(data) {
      await this.#loaded;
      this.#frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }
  };
}
