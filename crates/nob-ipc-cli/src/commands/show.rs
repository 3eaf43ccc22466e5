//! `nob-ipc show`.

use nob_ipc::Name;
use nob_ipc::registry;
use nob_ipc_redis::Connection;

use crate::describe;
use crate::failure::Result;
use crate::json::{self, ObjectJson, RemoteJson};
use crate::output::Output;
use crate::server::objects;

pub fn run(name: &Name, json: bool, server: Option<&Connection>) -> Result<()> {
    let output = Output::new();
    if let Some(server) = server {
        let found = objects::find(server, name)?;
        if json {
            return output.write(json::pretty(&RemoteJson::new(&found)).as_bytes());
        }
        return print(&output, objects::facts(&found.info, found.state.as_ref()));
    }
    let object = registry::find(name)?;
    if json {
        return output.write(json::pretty(&ObjectJson::new(&object)).as_bytes());
    }
    print(&output, describe::facts(&object))
}

/// Each fact in a line.
fn print(output: &Output, facts: Vec<(&'static str, Vec<u8>)>) -> Result<()> {
    let mut all = Vec::new();
    for (label, value) in facts {
        all.extend_from_slice(format!("{label:<14}").as_bytes());
        all.extend(output.foreign(&value));
        all.push(b'\n');
    }
    output.write(&all)
}
