//! `nob-ipc show`.

use std::time::SystemTime;

use nob_ipc::Name;
use nob_ipc::registry::{self, Creator, Measure, Object};

use super::state_word;
use crate::failure::Result;
use crate::json::{self, ObjectJson};
use crate::output::Output;
use crate::people::{self, Users};
use crate::text;

pub fn run(name: &Name, json: bool) -> Result<()> {
    let object = registry::find(name)?;
    let output = Output::new();
    if json {
        return output.write(json::pretty(&ObjectJson::new(&object)).as_bytes());
    }
    let mut all = Vec::new();
    for (label, value) in lines(&object) {
        all.extend_from_slice(format!("{label:<14}").as_bytes());
        all.extend(output.foreign(&value));
        all.push(b'\n');
    }
    output.write(&all)
}

/// Each fact with its label.
pub fn lines(object: &Object) -> Vec<(&'static str, Vec<u8>)> {
    let (device, inode) = object.identity();
    let mut lines: Vec<(&'static str, Vec<u8>)> = vec![
        ("kind", object.kind().to_string().into()),
        ("name", object.name().as_bytes().to_vec()),
    ];
    lines.extend(measure(object.measure()).into_iter().map(|(label, value)| (label, value.into())));
    let owner = Users::default().name(object.owner()).to_string();
    lines.extend([
        ("owner", format!("{owner} (uid {})", object.owner()).into()),
        ("group", format!("{} (gid {})", people::group(object.group()), object.group()).into()),
        ("mode", format!("{:04o}", object.mode()).into()),
        ("created", object.created().map_or("not known".into(), when).into()),
        ("changed", when(object.changed()).into()),
        ("identity", format!("device {device:#x}, inode {inode}").into()),
        ("status", state_word(object.state()).into()),
        ("lifetime", lifetime(object).into()),
        ("creator", creator(object.creator()).into()),
    ]);
    for holder in object.holders() {
        let words = [holder.pid.to_string().as_bytes(), b" ", &holder.command].concat();
        lines.push(("held by", words));
    }
    if object.holders().is_empty() {
        let words = if object.used() == Some(true) {
            "processes of another pid namespace, or that may not be looked at"
        } else {
            "nobody that is seen"
        };
        lines.push(("held by", words.into()));
    }
    if object.unseen() > 0 {
        let processes = text::count(object.unseen(), "process", "processes");
        lines.push(("not seen", format!("{processes} that could hold it").into()));
    }
    lines
}

fn measure(measure: Measure) -> Vec<(&'static str, String)> {
    let closed = || String::from("this user may not look");
    match measure {
        Measure::Value(value) => vec![("value", value.map_or_else(closed, |it| it.to_string()))],
        Measure::Size { bytes, allocated } => vec![
            ("size", format!("{bytes} bytes ({})", text::size(bytes))),
            ("allocated", format!("{allocated} bytes ({})", text::size(allocated))),
        ],
        Measure::Depth(Some(depth)) => vec![
            ("messages", format!("{} of {}", depth.messages, depth.max_messages)),
            ("message size", format!("{} bytes at the most", depth.max_message_size)),
        ],
        _ => vec![("content", closed())],
    }
}

fn when(time: SystemTime) -> String {
    let ago = SystemTime::now().duration_since(time).unwrap_or_default();
    format!("{} ({} ago)", humantime::format_rfc3339_seconds(time), text::age(ago))
}

fn lifetime(object: &Object) -> &'static str {
    if object.is_shared() {
        "shared: its name goes with the last who uses it"
    } else if object.creator() == Creator::Unmarked {
        "until somebody removes it"
    } else {
        "its creator's"
    }
}

fn creator(creator: Creator) -> String {
    match creator {
        Creator::Unmarked => "nobody owns its name".into(),
        Creator::Process { pid, alive } => {
            let fate = match alive {
                Some(true) => "which lives",
                Some(false) => "which is dead",
                None => "of which cannot be told whether it lives",
            };
            format!("process {pid}, {fate}")
        }
        _ => "this user may not see who made it".into(),
    }
}
