//! Semaphores, locks and message queues of [`nob_ipc`] for many machines, on a Redis or Valkey
//! server.
//!
//! The same names, options and calls as on one machine: code that is generic over
//! [`Permits`](nob_ipc::Permits) and [`Messages`](nob_ipc::Messages) runs on both. The client is
//! blocking, uses no async runtime, and has one native thread for each process and connection, and
//! while that would wait for a host to be looked up, or for sentinels, another that does.
//!
//! ```no_run
//! use nob_ipc::Existence;
//! use nob_ipc_redis::{Connection, MessageQueue};
//!
//! let server = Connection::open("redis://localhost")?;
//! let jobs = MessageQueue::options(&server).existence(Existence::LinkOrCreate).open("/jobs")?;
//! jobs.send(b"one", 3)?;
//! assert_eq!(jobs.receive()?, (b"one".to_vec(), 3));
//! # Ok::<(), nob_ipc::Error>(())
//! ```
//!
//! # Servers
//!
//! Redis 7.0 or newer, Valkey 7.2 or newer; one, with Sentinel, or a cluster:
//! `redis://[user[:password]@]host[:port][/db]`, `rediss://` (encrypted, with the feature `tls`;
//! `?cafile=` for roots of one's own), `unix:///path[?db=n]`, `redis+sentinel://h1,h2/master[/db]`,
//! `redis+cluster://h1,h2`; `valkey` and `valkeys` are the same. Behind a `?`: `patience`
//! (seconds), `durability`, `namespace`.
//!
//! # What it promises
//!
//! - On one running server every operation is one atomic step.
//! - A call whose answer is lost is repeated under the same number: it runs once.
//! - What an interrupted, closed, cancelled or unanswered call has taken goes back, a message to
//!   its old place.
//! - Who waits and dies costs the others nothing; one whose machine lost power delays them by 5 s
//!   at the most.
//! - A timeout bounds the wait for the object. The call ends two seconds later at the latest, also
//!   when the server is silent: in an error then, since nobody has said that there was nothing.
//!
//! # What it does not
//!
//! Replication is asynchronous: a failover may undo what was acknowledged in the last moments. A
//! message may be lost or come twice, and a lock may have two owners ([`Lock::fence`] tells them
//! apart); [`Durability`] makes that rarer. A server without an append-only file loses all objects
//! when it is restarted, or goes back to its last snapshot: what was sent since is gone, and what
//! was received since comes again.
//!
//! # Errors
//!
//! Calls that ask a server can end in these kinds besides their own:
//!
//! - [`ServerUnavailable`](nob_ipc::ErrorKind::ServerUnavailable): it could not be reached as long
//!   as the [patience](ConnectionOptions::patience) lasted, and nothing was changed.
//! - [`OutcomeUnknown`](nob_ipc::ErrorKind::OutcomeUnknown): a change was asked for, and no answer
//!   came. The error has a [`Retry`].
//! - [`Unconfirmed`](nob_ipc::ErrorKind::Unconfirmed): it was done, and too few replicas or disks
//!   have said so. The error has the [`Outcome`].
//! - [`StaleHandle`](nob_ipc::ErrorKind::StaleHandle): the object is not on the server any more.
//! - [`PermissionDenied`](nob_ipc::ErrorKind::PermissionDenied): the password is wrong, or the user
//!   has too few rights.
//! - [`Closed`](nob_ipc::ErrorKind::Closed): the handle or its connection was closed.
//!
//! # Rights
//!
//! A user of the server needs these, for the namespace `nipc`:
//!
//! ```text
//! ACL SETUSER app on >password ~nipc:{?/* &nipc:{?/* +eval +evalsha +hello +ping +ssubscribe
//!     +sunsubscribe +spublish +time +hgetall +hget +hset +hmget +hincrby +del +pexpire +exists
//!     +get +set +zcard +zadd +zrange +zrem +zpopmin +zscore +zcount +zremrangebyscore
//! ```
//!
//! Besides, `+info` for the checks of [`Connection::open`] and [`Connection::findings`], `+scan`
//! for [`Connection::list_objects`], `+cluster|slots` for that in a cluster, `+asking` in a
//! cluster, `+wait` or `+waitaof` for a [`Durability`], `+select` for a database, `+role` behind
//! Sentinel.
//!
//! # What it costs
//!
//! A call is one round trip. One that has to wait is woken by a message and then fetches: two more.
//! The server keeps the last answer to each connection, with the messages in it, for ten minutes.
//!
//! # Waiting without a thread
//!
//! [`Events`] tells an event loop of operations that were begun by `start_...` and go on by
//! themselves.
//!
//! # Fork
//!
//! A forked child has a client of its own: new connections and a new identity, from its first call
//! on. Handles work in it; it holds no lock and no permit.

#![deny(unsafe_code)]

mod bounded_semaphore;
mod calls;
mod client;
mod connecting;
mod connection;
mod events;
mod farewell;
mod fault;
mod handle;
mod hold;
mod hub;
mod inspect;
mod job;
mod link;
mod lock;
mod message_queue;
mod object;
mod opening;
mod plan;
mod reactor;
mod request;
mod rights;
mod scripts;
mod semaphore;
mod slots;
mod sync;
#[allow(unsafe_code)]
mod sys;
mod task;
mod transport;
mod unanswered;
mod url;
mod waiter;
mod watch;
mod wire;

pub use bounded_semaphore::{BoundedSemaphore, BoundedSemaphoreOptions};
pub use connecting::ConnectionOptions;
pub use connection::{Background, Connection};
pub use events::{Events, Pending};
pub use handle::Handle;
pub use inspect::{ObjectInfo, ServerCheck};
pub use lock::{Lock, LockGuard, LockOptions};
pub use message_queue::{MessageQueue, MessageQueueOptions};
pub use plan::{Outcome, Retry};
pub use semaphore::{Semaphore, SemaphoreOptions};
pub use url::Durability;
pub use watch::{Content, ObjectState, Watch, Watched};
