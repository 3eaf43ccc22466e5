//! Opening objects on a server, and opening them again when the outcome is unknown.

use nob_ipc::{Error, ErrorKind, Name, Result};
use nob_ipc_redis::{
    BoundedSemaphore, BoundedSemaphoreOptions, Lock, LockOptions, MessageQueue,
    MessageQueueOptions, Semaphore, SemaphoreOptions,
};
use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;

use crate::interpreter::ask::ask;
use crate::named::base::Named;
use crate::named::place::Place;
use crate::server::error::{Request, raise};
use crate::server::{Object, There};

/// How an object is opened.
pub(crate) trait Options: Send + Sync + 'static {
    type Object: Object;

    fn open(&self, name: &Name) -> Result<Self::Object>;

    /// Has it repeat the opening that has ended so.
    fn again_after(&mut self, error: &Error);
}

macro_rules! options {
    ($options:ty, $object:ty) => {
        impl Options for $options {
            type Object = $object;

            fn open(&self, name: &Name) -> Result<$object> {
                self.open_named(name)
            }

            fn again_after(&mut self, error: &Error) {
                self.again_after(error);
            }
        }
    };
}

options!(SemaphoreOptions, Semaphore);
options!(BoundedSemaphoreOptions, BoundedSemaphore);
options!(LockOptions, Lock);
options!(MessageQueueOptions, MessageQueue);

/// A class whose objects may be on a server.
pub(crate) trait MayBeThere: PyClass<BaseType = Named, Frozen = True> + Sync {
    type There: Object;

    fn there(&self) -> &There<Self::There>;
}

/// Opens an object for a handle. The error of one whose outcome is unknown can open it later.
pub(crate) fn open<'py, C, O>(
    handle: &Bound<'py, C>,
    place: &Place<'py>,
    mut options: O,
    name: Name,
) -> PyResult<()>
where
    C: MayBeThere<There = O::Object>,
    O: Options,
{
    let py = handle.py();
    let mut unknown = None;
    let failed = |py: Python<'_>, error: &Error| {
        if error.kind() == ErrorKind::OutcomeUnknown {
            unknown = Some(error.clone());
        }
        raise(py, error)
    };
    match (ask(py, failed, || options.open(&name)), unknown) {
        (Ok(object), _) => {
            let connection = place.connection()?.as_any().clone().unbind();
            let named = handle.as_super().get();
            named.open_there(py, connection, handle.get().there(), object)?;
            place.add(handle)
        }
        (Err(exception), None) => Err(exception),
        (Err(exception), Some(error)) => {
            options.again_after(&error);
            let connection = place.connection()?.clone().unbind();
            let handle = handle.clone().unbind();
            let request = Request::opening(move |py| {
                let (handle, place) = (handle.bind(py), Place::there(connection.bind(py)));
                open(handle, &place, options, name)?;
                Ok(handle.clone().into_any())
            });
            request.attach(py, &exception)?;
            Err(exception)
        }
    }
}
