//! `nob-ipc doctor`.

use serde::Serialize;

use super::doctor_checks;
use crate::failure::Result;
use crate::json;
use crate::output::Output;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Check {
    #[serde(rename = "check")]
    pub what: &'static str,
    pub value: String,
    /// Whether it is likely to hurt.
    pub hurts: bool,
    /// What it means.
    pub meaning: String,
    /// The command that mends it, where there is one.
    pub mend: Option<String>,
}

impl Check {
    /// Something that is as it should be.
    pub fn fine(what: &'static str, value: impl Into<String>, meaning: &str) -> Check {
        let (value, meaning) = (value.into(), meaning.into());
        Check { what, value, hurts: false, meaning, mend: None }
    }

    /// The same, but likely to hurt if `hurts`.
    pub fn hurts_if(mut self, hurts: bool) -> Check {
        self.hurts = hurts;
        self
    }

    /// What mends, or raises, it.
    pub fn mended_by(mut self, command: impl Into<String>) -> Check {
        self.mend = Some(command.into());
        self
    }
}

pub fn run(json: bool) -> Result<()> {
    let checks = doctor_checks::all();
    let output = Output::new();
    if json {
        return output.write(json::pretty(&checks).as_bytes());
    }
    let mut text = Vec::new();
    for check in &checks {
        let sign = if check.hurts { '!' } else { ' ' };
        let line = format!("{sign} {:<22} {}", check.what, check.value);
        text.extend(output.foreign(line.as_bytes()));
        text.push(b'\n');
        let mut detail = |line: &str| {
            text.extend_from_slice(b"    ");
            text.extend(output.foreign(line.as_bytes()));
            text.push(b'\n');
        };
        detail(&check.meaning);
        if let Some(mend) = &check.mend {
            detail(&format!("{} {mend}", if check.hurts { "mend it:" } else { "to change it:" }));
        }
    }
    output.write(&text)
}
