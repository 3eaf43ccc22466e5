//! `nob-ipc doctor`.

use super::doctor_checks;
use crate::failure::Result;
use crate::json;
use crate::output::Output;

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
