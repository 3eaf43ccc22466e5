//! `nob-ipc show`.

use nob_ipc::Name;
use nob_ipc::registry;

use crate::describe;
use crate::failure::Result;
use crate::json::{self, ObjectJson};
use crate::output::Output;

pub fn run(name: &Name, json: bool) -> Result<()> {
    let object = registry::find(name)?;
    let output = Output::new();
    if json {
        return output.write(json::pretty(&ObjectJson::new(&object)).as_bytes());
    }
    let mut all = Vec::new();
    for (label, value) in describe::facts(&object) {
        all.extend_from_slice(format!("{label:<14}").as_bytes());
        all.extend(output.foreign(&value));
        all.push(b'\n');
    }
    output.write(&all)
}
