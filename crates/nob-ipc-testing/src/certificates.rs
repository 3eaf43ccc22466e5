//! Certificates for servers of tests.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::directory::Directory;
use crate::running::output;

/// A certificate authority that nobody else knows, and a certificate of it for 127.0.0.1.
pub struct Certificates {
    /// The authority's own certificate.
    pub authority: PathBuf,
    certificate: String,
    key: String,
    _directory: Directory,
}

impl Certificates {
    /// Makes them; `None`, and a word about it, if the machine has no `openssl`.
    pub fn new() -> Option<Certificates> {
        let directory = Directory::new();
        let file = |name: &str| directory.join(name).display().to_string();
        let openssl = |words: &str, more: &[&str]| {
            let mut command = Command::new("openssl");
            command.args(words.split(' ')).args(more);
            output(&mut command).is_ok_and(|done| done.status.success())
        };
        let (authority_key, authority) = (file("ca.key"), file("ca.crt"));
        let own = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj";
        let out = ["/CN=nob-ipc test", "-keyout", &authority_key, "-out", &authority];
        if !openssl(&format!("req {own}"), &out) {
            eprintln!("skipped: there is no openssl to make certificates with");
            return None;
        }
        let [key, request, certificate, extensions] =
            ["server.key", "server.csr", "server.crt", "extensions"].map(file);
        fs::write(&extensions, "subjectAltName=IP:127.0.0.1\n").expect("the directory is there");
        let asked = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server";
        assert!(openssl(asked, &["-keyout", &key, "-out", &request]));
        let by = ["-CA", &authority, "-CAkey", &authority_key, "-in", &request];
        let out = ["-extfile", &extensions, "-out", &certificate];
        assert!(openssl("x509 -req -CAcreateserial -days 2", &[&by[..], &out].concat()));
        Some(Certificates { authority: authority.into(), certificate, key, _directory: directory })
    }

    /// The options of a server that answers on this port to those who encrypt.
    pub fn options<'a>(&'a self, port: &'a str) -> [&'a str; 10] {
        let authority = self.authority.to_str().expect("it was text");
        [
            "--tls-port",
            port,
            "--tls-cert-file",
            &self.certificate,
            "--tls-key-file",
            &self.key,
            "--tls-ca-cert-file",
            authority,
            "--tls-auth-clients",
            "no",
        ]
    }
}
