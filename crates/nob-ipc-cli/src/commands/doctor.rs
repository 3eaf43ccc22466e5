//! `nob-ipc doctor`.

use super::doctor_checks::{self, Check};
use crate::failure::{Failure, Result};
use crate::json;
use crate::output::Output;
use crate::text;

/// `all`: also what is as it should be. `check`: whether something hurts is the exit status.
pub fn run(all: bool, check: bool, json: bool) -> Result<()> {
    tell(&doctor_checks::all(), all, check, json)
}

/// The same of a server.
pub fn run_at(url: &str, all: bool, check: bool, json: bool) -> Result<()> {
    tell(&doctor_checks::of_server(url)?, all, check, json)
}

fn tell(checks: &[Check], all: bool, check: bool, json: bool) -> Result<()> {
    let output = Output::new();
    if json {
        output.write(json::pretty(&checks).as_bytes())?;
    } else {
        let shown = checks.iter().filter(|check| all || check.hurts);
        let page: Vec<u8> = shown.flat_map(|check| lines(check, &output)).collect();
        output.write(&page)?;
        output.line(&summary(checks, all))?;
    }
    let hurts = checks.iter().any(|check| check.hurts);
    if check && hurts { Err(Failure::Status(1)) } else { Ok(()) }
}

fn summary(checks: &[Check], all: bool) -> String {
    let hurting = match checks.iter().filter(|check| check.hurts).count() {
        0 => "none is likely to hurt".into(),
        1 => "1 is likely to hurt".into(),
        more => format!("{more} are likely to hurt"),
    };
    let more = if all { "" } else { "; --all shows all" };
    format!("{}, {hurting}{more}", text::count(checks.len(), "check", "checks"))
}

fn lines(check: &Check, output: &Output) -> Vec<u8> {
    let sign = if check.hurts { '!' } else { ' ' };
    let mend = check.mend.iter().map(|mend| {
        format!("    {} {mend}", if check.hurts { "mend it:" } else { "to change it:" })
    });
    let first = format!("{sign} {:<22} {}", check.what, check.value);
    let lines = [first, format!("    {}", check.meaning)].into_iter().chain(mend);
    lines.flat_map(|line| [output.foreign(line.as_bytes()), b"\n".to_vec()].concat()).collect()
}
