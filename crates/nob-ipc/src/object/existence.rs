//! What to do about an object that exists, or does not: the decision as a pure function.

/// What to do about an object that exists, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Existence {
    /// Create; [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if the name is taken. What has
    /// the name is not touched.
    Create,
    /// Link; [`NotFound`](crate::ErrorKind::NotFound) if there is none.
    #[default]
    Link,
    /// Link if there is one, else create. Another process that creates or unlinks in between is
    /// no error.
    LinkOrCreate,
    /// Remove what has the name, then create. The handle is never one to somebody else's object.
    UnlinkAndCreate,
}

/// One step of opening an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// See whether the name is taken, so that nothing is built in vain.
    Look,
    /// Open what has the name.
    Link,
    /// Build the new object without a name, or check that it can be built.
    Prepare,
    /// Remove what has the name.
    Unlink,
    /// Give the new object the name.
    Publish,
}

/// How a step ended, when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The step was done.
    Done,
    /// The name is taken.
    Taken,
    /// Nothing has the name.
    Missing,
    /// Somebody removes what has the name, or has just removed it.
    Contended,
}

/// What follows a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Go(Step),
    /// Another process was in between: begin this again, within bounds.
    Again(Step),
    /// There is a handle.
    Finish,
    AlreadyExists,
    NotFound,
}

impl Existence {
    /// The first step.
    pub(crate) fn first(self) -> Step {
        match self {
            Existence::Create => Step::Look,
            Existence::Link | Existence::LinkOrCreate => Step::Link,
            Existence::UnlinkAndCreate => Step::Prepare,
        }
    }

    /// What follows `step`. `prepared`: whether the new object has been built before.
    pub(crate) fn next(self, step: Step, outcome: Outcome, prepared: bool) -> Next {
        use Outcome::{Contended, Done, Missing, Taken};
        match (step, outcome) {
            (Step::Link | Step::Publish, Done) => Next::Finish,
            (Step::Look, Taken) => Next::AlreadyExists,
            (Step::Look, _) => Next::Go(Step::Prepare),
            (Step::Link, Contended) => Next::Again(Step::Link),
            (Step::Link, _) => match self {
                Existence::LinkOrCreate if prepared => Next::Go(Step::Publish),
                Existence::LinkOrCreate => Next::Go(Step::Prepare),
                _ => Next::NotFound,
            },
            (Step::Prepare, _) => match self {
                Existence::UnlinkAndCreate => Next::Go(Step::Unlink),
                _ => Next::Go(Step::Publish),
            },
            (Step::Unlink, Done | Missing | Taken | Contended) => Next::Go(Step::Publish),
            (Step::Publish, _) => match self {
                Existence::UnlinkAndCreate => Next::Again(Step::Unlink),
                Existence::LinkOrCreate => Next::Again(Step::Link),
                _ => Next::AlreadyExists,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks the decision against a world in which the name is taken or not; `racing` processes
    /// undo what was seen that many times.
    fn walk(existence: Existence, mut taken: bool, mut racing: u32) -> (Next, Vec<Step>) {
        let mut steps = Vec::new();
        let mut prepared = false;
        let mut step = existence.first();
        loop {
            steps.push(step);
            let outcome = match step {
                Step::Look => {
                    if taken {
                        Outcome::Taken
                    } else {
                        Outcome::Missing
                    }
                }
                Step::Link => {
                    if taken {
                        Outcome::Done
                    } else {
                        Outcome::Missing
                    }
                }
                Step::Prepare => {
                    prepared = true;
                    if racing > 0 {
                        racing -= 1;
                        taken = true;
                    }
                    Outcome::Done
                }
                Step::Unlink => {
                    let was = taken;
                    taken = racing > 0;
                    racing = racing.saturating_sub(1);
                    if was { Outcome::Done } else { Outcome::Missing }
                }
                Step::Publish if taken => {
                    taken = existence == Existence::UnlinkAndCreate;
                    Outcome::Taken
                }
                Step::Publish => Outcome::Done,
            };
            match existence.next(step, outcome, prepared) {
                Next::Go(next) | Next::Again(next) => step = next,
                end => return (end, steps),
            }
        }
    }

    #[test]
    fn missing() {
        use Step::{Link, Look, Prepare, Publish, Unlink};
        assert_eq!(walk(Existence::Create, false, 0), (Next::Finish, vec![Look, Prepare, Publish]));
        assert_eq!(walk(Existence::Link, false, 0), (Next::NotFound, vec![Link]));
        assert_eq!(
            walk(Existence::LinkOrCreate, false, 0),
            (Next::Finish, vec![Link, Prepare, Publish])
        );
        assert_eq!(
            walk(Existence::UnlinkAndCreate, false, 0),
            (Next::Finish, vec![Prepare, Unlink, Publish])
        );
    }

    #[test]
    fn existing() {
        use Step::{Link, Look, Prepare, Publish, Unlink};
        assert_eq!(walk(Existence::Create, true, 0), (Next::AlreadyExists, vec![Look]));
        assert_eq!(walk(Existence::Link, true, 0), (Next::Finish, vec![Link]));
        assert_eq!(walk(Existence::LinkOrCreate, true, 0), (Next::Finish, vec![Link]));
        assert_eq!(
            walk(Existence::UnlinkAndCreate, true, 0),
            (Next::Finish, vec![Prepare, Unlink, Publish])
        );
    }

    #[test]
    fn others_in_between() {
        use Step::{Link, Look, Prepare, Publish, Unlink};
        assert_eq!(
            walk(Existence::Create, false, 1),
            (Next::AlreadyExists, vec![Look, Prepare, Publish])
        );
        // The winner's object is gone again at the second look: the one that was built is used.
        assert_eq!(
            walk(Existence::LinkOrCreate, false, 1),
            (Next::Finish, vec![Link, Prepare, Publish, Link, Publish])
        );
        assert_eq!(
            walk(Existence::UnlinkAndCreate, true, 2),
            (Next::Finish, vec![Prepare, Unlink, Publish, Unlink, Publish])
        );
    }
}
