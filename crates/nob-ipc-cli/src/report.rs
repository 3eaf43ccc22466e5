//! How a command ends: all exit statuses, and the sentence on standard error.

use crate::failure::{Failure, status_of_signal};
use crate::output::complain;
use crate::text;

/// Says what there is to say, and returns the exit status.
pub fn report(failure: Failure) -> i32 {
    match failure {
        Failure::Failed(why) => {
            complain(&why);
            1
        }
        Failure::Usage(error) => report_usage(&error),
        Failure::Missing(what, list) => {
            complain(&format!("there is no {what}; `{list}` lists what there is"));
            3
        }
        Failure::Exists(why) => {
            complain(&why);
            4
        }
        Failure::TimeOver => 124,
        Failure::Signalled(signal) => status_of_signal(signal),
        Failure::Status(status) => status,
        Failure::NotRun(status, why) => {
            complain(&why);
            status
        }
        Failure::ClosedOutput => 0,
    }
}

/// Help and version go to standard output; anything else is wrong usage. What was typed is shown
/// escaped.
fn report_usage(error: &clap::Error) -> i32 {
    if error.use_stderr() {
        let plain = error.render().to_string();
        let lines: Vec<String> = plain.lines().map(text::escape_str).collect();
        complain_raw(&lines.join("\n"));
        return 2;
    }
    // Nobody reads it any more: no error.
    let _ = error.print();
    0
}

fn complain_raw(text: &str) {
    use std::io::Write;
    // There is nowhere left to say that standard error is gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}
