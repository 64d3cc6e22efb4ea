//! Everything that waits: sockets, tasks, timers, entropy and the disk.
//!
//! The rooms below decide and never wait; this one waits and decides nothing. [`start`]
//! opens what a [`Config`](crate::Config) asks for and starts the tasks; a [`Handle`] is
//! what everybody else holds of the node.
//!
//! # Tasks
//!
//! Unless said otherwise a task is started by [`start`], tracked, and ends when the
//! `stopped` token is cancelled, which [`Handle::shutdown`] does after the node has left.
//! One that ends before, which takes a bug, stops the node.
//!
//! | task | owns | waits on | never |
//! |---|---|---|---|
//! | membership (`udp`, on a thread of its own) | `Membership`, the UDP socket's receiving side | socket, requests, its next timeout | storage, names, other tasks |
//! | node facts (`facts`) | chitchat's handle; starts chitchat's server anew when that ends | a tick, the server's end | |
//! | chitchat's server (started by `facts`, ended with it, not tracked) | chitchat's state, reassembly of its messages | the inbox that membership fills, a tick | sees nothing unauthenticated |
//! | peers (`peers`) | which members are dialled; the data plane's view | the roster, links coming up and going down | |
//! | dialler, one per member (`dial`, started and cancelled by `peers`) | the outgoing stream while it is up | connecting, what the flusher hands over, a beat, the peer's beats | waits longer than `SILENCE_MAX` for a peer |
//! | flusher (`flush`) | nothing | messages for peers | waits for a stream: what that does not take at once it hands over |
//! | acceptor (`accept`) | the peers' listener | new streams | |
//! | incoming stream, one per peer (started by `accept`; ends also when the peer opens another, is silent, or breaks a rule) | one incoming stream | the peer, a beat | |
//! | timer (`timer`) | nothing | the data plane's next timeout, 100 ms at most | |
//! | fsync (`fsync`; a thread of its own, and a task that waits for its end) | nothing | who waits for the disk, a tick, then the disk | |
//! | disk (`reopen`) | the engine's next opening | a tick, a failure or much that was written, then the disk, on a blocking thread | |
//! | founding (`founding`; ends when the node stops or has left) | nothing | a tick | |
//! | seeds (`seeds`; ends early if there are no names to resolve) | the seeds' addresses | name lookups | |
//!
//! Requests run on the task of whoever submits them, and messages of peers on the task of
//! their stream: the data plane's locks are held for microseconds, and what a call leaves to
//! be done (sends, then replies) is done by the same task afterwards, in order. So is what
//! clients publish: the task of whoever publishes, or of the peer's stream, tells the listeners
//! of this node.
//!
//! # Invariants
//!
//! - Nothing that did not authenticate is parsed, and every queue, buffer and count of
//!   connections has a named limit.
//! - A full queue drops; it never delays whoever fills it. What a dropped push would have
//!   brought, sync brings; what clients published is lost then, as it is kept by nobody.
//! - Membership's task is never held up by the data plane: it publishes snapshots.
//!
//! What is deliberately absent: opinions. Who is alive is membership's to say, what a key
//! holds is the store's, when to compare is replication's.

mod abreast;
mod accept;
mod advertise;
mod contexts;
mod core;
mod counters;
mod cuts;
mod dial;
mod disk;
mod disk_state;
mod effects;
mod error;
mod events;
mod facts;
mod facts_lane;
mod flush;
mod founding;
mod fsync;
mod handle;
mod identity;
mod launch;
mod lifecycle;
mod limiter;
mod links;
mod listeners;
mod listing;
mod long_frames;
mod memory;
mod outbox;
mod outgoing;
mod past;
mod peers;
mod place;
mod place_views;
mod ports;
mod progress;
mod publish;
mod queue;
mod reopen;
mod seeds;
mod session;
mod start;
mod state;
mod status;
mod storage;
mod streak;
mod stream;
mod sync_now;
mod time;
mod timer;
mod transfer;
mod udp;
mod views;

#[cfg(test)]
mod tests;

pub use contexts::NoContext;
pub use error::StartError;
pub use handle::Handle;
pub use identity::NAME_BYTES_MAX;
pub use listeners::{ExpiryListener, Listener};
pub use past::Past;
pub use place_views::{
    OwnerView, OwnersView, PlacementView, PlanView, PlannedJoin, PlannedMember, RebalanceView,
    SeatProgress, SeatView,
};
pub use progress::{Goal, ProgressError, Reached};
pub use session::{AfterError, TokenError};
pub use start::start;
pub use streak::Streak;
pub use views::{DiskView, MemberView, ScanPage, Status, Submitted};
