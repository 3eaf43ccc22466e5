//! What holds for all marks.

use proptest::prelude::*;

use crate::object::owner::Mark;

prop_compose! {
    fn marks()(
        pid: u32,
        start_time: u64,
        pid_namespace: u64,
        boot_id in "[!-~]{1,40}",
    ) -> Mark {
        Mark { pid, start_time, pid_namespace, boot_id }
    }
}

proptest! {
    #[test]
    fn a_mark_reads_back(mark in marks()) {
        let text = mark.to_string();
        // An attribute is read into a buffer of 256 bytes, and a record has it on one line.
        prop_assert!(text.len() < 256 && !text.contains('\n'));
        prop_assert_eq!(text.parse(), Ok(mark));
    }

    /// Whatever somebody has written where a mark belongs: it is refused, or it is a mark.
    #[test]
    fn anything_can_be_read(text in "\\PC{0,60}|1( [0-9]{1,25}){0,4}( \\PC{0,10})?") {
        if let Ok(mark) = text.parse::<Mark>() {
            prop_assert_eq!(mark.to_string().parse(), Ok(mark));
        }
    }
}
