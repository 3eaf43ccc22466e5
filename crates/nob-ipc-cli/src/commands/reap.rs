//! `nob-ipc reap`.

use std::ops::ControlFlow;
use std::time::Duration;

use nob_ipc::registry::{Coverage, Creator, Finding, Outcome, Reap};

use crate::describe::{CANNOT_LIST_QUEUES, holders_words};
use crate::failure::{Failure, Result};
use crate::output::{Output, complain};
use crate::text;

pub fn run(mut reap: Reap, yes: bool, older_than: Option<Duration>, unused: bool) -> Result<()> {
    if let Some(age) = older_than {
        reap = reap.older_than(age);
        if unused {
            reap = reap.unused_for(age);
        }
    }
    let output = Output::new();
    let mut failed = 0;
    let mut print = |finding: &Finding| {
        failed += usize::from(matches!(finding.outcome, Outcome::Failed(_)));
        output.write(&line(finding, &output))
    };
    let coverage = if yes {
        let mut printed = Ok(());
        let coverage = reap.run_with(|finding| {
            printed = print(&finding);
            // What nobody is told of is not removed.
            if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        printed?;
        coverage
    } else {
        let (findings, coverage) = reap.dry_run()?;
        findings.iter().try_for_each(print)?;
        coverage
    };
    if coverage != Coverage::All {
        complain(CANNOT_LIST_QUEUES);
    }
    if failed > 0 {
        let objects = text::count(failed, "object", "objects");
        return Err(Failure::because(format!("{objects} could not be removed")));
    }
    Ok(())
}

/// `removed sem:/x: its creator, process 12, is dead`.
fn line(finding: &Finding, output: &Output) -> Vec<u8> {
    let object = &finding.object;
    let dead = match object.creator() {
        _ if object.is_shared() => "it is shared, and nobody uses it".to_string(),
        Creator::Process { pid, .. } => format!("its creator, process {pid}, is dead"),
        _ => format!("nobody holds it, and it has not changed for {}", text::age(object.idle())),
    };
    let (verb, why) = match &finding.outcome {
        Outcome::Removed => ("removed", dead.into_bytes()),
        Outcome::WouldRemove => ("would remove", dead.into_bytes()),
        Outcome::Held if object.holders().is_empty() => ("left", b"somebody uses it".to_vec()),
        Outcome::Held => ("left", [b"held by ", &*holders_words(object.holders())].concat()),
        Outcome::Unseen(count) => {
            let processes = text::count(*count, "process", "processes");
            let why = format!("{processes} that could hold it may not be looked at");
            ("left", why.into_bytes())
        }
        Outcome::NotPermitted => ("left", b"it belongs to another user".to_vec()),
        Outcome::Failed(error) => ("failed", error.message().into_bytes()),
        _ => ("left", b"whether its creator is dead cannot be told from here".to_vec()),
    };
    let address = [object.kind().short_word().as_bytes(), b":", object.name().as_bytes()];
    let mut line = format!("{verb} ").into_bytes();
    line.extend(output.foreign(&address.concat()));
    line.extend_from_slice(b": ");
    line.extend(output.foreign(&why));
    line.push(b'\n');
    line
}
