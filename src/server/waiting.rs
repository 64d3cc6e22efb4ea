//! What a connection waits for, and how it comes to its end.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest, Ready};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::mailbox::Mailbox;

/// How long, and for how many bytes, a client that broke the protocol is still listened
/// to after its error was sent. Closing with unread input would reset the connection and
/// take the error with it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// How often it is looked whether a client that waits for an answer is still there.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Room for one read of what is forgotten.
const SCRATCH_BYTES: usize = 16 * 1024;

/// How a connection came to its end.
#[derive(Debug)]
pub(super) enum End {
    /// The client closed it, or asked for it.
    Closed,
    /// The server is stopping, or another client killed it.
    Stopped,
    /// What the client sent is not the protocol.
    Protocol,
    /// The client spoke HTTP.
    Http,
    /// The client did not take its replies.
    Stalled,
    /// The client said nothing for too long.
    Idle,
    /// The client did not keep up with what it subscribed to.
    Overrun,
    /// The socket failed.
    Failed(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Waits for a message, if one is wanted, or for the end of the mailbox; for ever without one.
pub(super) async fn messages(mailbox: Option<&Arc<Mailbox>>, wanted: bool) {
    match mailbox {
        Some(mailbox) => mailbox.wait(wanted).await,
        None => std::future::pending().await,
    }
}

/// Writes as much of `out` as the socket takes now; how many bytes.
pub(super) fn write(stream: &TcpStream, out: &mut BytesMut) -> Result<usize, End> {
    let mut sum = 0_usize;
    while !out.is_empty() {
        match stream.try_write(out) {
            Ok(0) => return Err(End::Closed),
            Ok(written) => {
                out.advance(written);
                sum = sum.saturating_add(written);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sum)
}

/// Reads what has come, if anything; how many bytes. Unlike `try_read_buf` it notes that there is
/// no more when it got less than it had room for, which spares asking the socket again.
pub(super) async fn read_now(
    stream: &mut TcpStream,
    input: &mut BytesMut,
) -> io::Result<Option<usize>> {
    let mut read = pin!(stream.read_buf(input));
    poll_fn(|task| match read.as_mut().poll(task) {
        Poll::Ready(read) => Poll::Ready(read.map(Some)),
        Poll::Pending => Poll::Ready(Ok(None)),
    })
    .await
}

/// Waits until the client says nothing more. What it has said and nobody has read hides that
/// from a simple wait.
pub(super) async fn closed(stream: &TcpStream) {
    while let Ok(ready) = stream.ready(Interest::READABLE).await {
        if ready.is_read_closed() {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// What the socket can do, as soon as it can; this end if that is not before the deadline.
pub(super) async fn ready(
    stream: &TcpStream,
    interest: Interest,
    deadline: Option<(Instant, End)>,
) -> Result<Ready, End> {
    let ready = stream.ready(interest);
    let Some((deadline, end)) = deadline else {
        return Ok(ready.await?);
    };
    match timeout_at(deadline, ready).await {
        Ok(ready) => Ok(ready?),
        Err(_) => Err(end),
    }
}

/// Reads and forgets until the client has closed, or has had enough time to.
pub(super) async fn linger(stream: &mut TcpStream) {
    let drain = async {
        stream.shutdown().await?;
        let mut left = LINGER_BYTES_MAX;
        let mut scratch = BytesMut::with_capacity(SCRATCH_BYTES);
        while left > 0 {
            let read = stream.read_buf(&mut scratch).await?;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
            scratch.clear();
        }
        io::Result::Ok(())
    };
    // Whatever happens here, the connection ends now.
    let _ = timeout(LINGER, drain).await;
}
