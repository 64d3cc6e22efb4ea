//! A protected stream to a peer: handshake, introduction, frames.
//!
//! Both sides beat: at least twice within [`SILENCE_MAX`] something is written, so that a
//! stream that hangs for ever, as one across a cut network may, is noticed. A side that is
//! busy writing waits only as long as the other takes something.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rand::Rng;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::core::Core;
use super::counters::Counters;
use super::cuts;
use super::long_frames::{Grant, LongFrames};
use crate::membership::{Fingerprint, Identity, Mismatch};
use crate::replication::Message;
use crate::wire::{
    Established, FrameDecoder, FrameEncoder, FrameError, Handshake, HandshakeError, WireError,
};

/// What both sides mix into the handshake of a stream between peers.
const PURPOSE: &[u8] = b"peers";

/// How often each side writes something when it has nothing to say.
pub(super) const BEAT: Duration = Duration::from_millis(500);

/// A stream on which nothing arrives, or nothing can be written, for this long is given up:
/// three beats, so that one late turn of either process is not a broken link.
pub(super) const SILENCE_MAX: Duration = Duration::from_millis(1_750);

/// How long the socket is looked at once more before a peer is declared silent.
const LAST_CHANCE: Duration = Duration::from_millis(20);

/// Frame buffers above this are given back after the frame, so that an idle stream does not
/// hold the memory of its largest one.
const BUFFER_KEPT_MAX: usize = 256 * 1024;

/// The first word of each side.
pub(super) type Hello = crate::wire::PeerHello<Fingerprint, Identity>;

/// One frame of a stream between peers.
pub(super) type Frame = crate::wire::Frame<Message, Hello>;

/// Why a stream is closed.
#[derive(Debug, Error)]
pub(super) enum StreamError {
    #[error("the stream failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("the peer closed the stream")]
    Closed,
    #[error("the peer was silent for {SILENCE_MAX:?}")]
    Silent,
    #[error("the peer took nothing for {SILENCE_MAX:?}")]
    Stuck,
    #[error("the handshake was not complete in time")]
    HandshakeTimeout,
    #[error("the stream had to make room for another before it introduced itself")]
    Displaced,
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("the peer refused: {0}")]
    Refused(String),
    #[error("{0}")]
    Mismatch(#[from] Mismatch),
    #[error("{found} answered where {expected} was expected")]
    OtherNode {
        expected: crate::clock::NodeId,
        found: crate::clock::NodeId,
    },
    #[error("this node answered itself")]
    Myself,
    #[error("the peer said something else than was its turn")]
    OutOfTurn,
}

impl StreamError {
    /// Whether the other side, rather than the network, is to blame.
    pub(super) fn is_offence(&self) -> bool {
        !matches!(
            self,
            Self::Io(_) | Self::Closed | Self::Silent | Self::Stuck
        )
    }
}

/// The reading side.
pub(super) struct FrameReader {
    half: OwnedReadHalf,
    decoder: FrameDecoder,
    counters: Arc<Counters>,
    long: LongFrames,
    /// The memory of the long frame that is being received, or was taken out last.
    granted: Option<Grant>,
}

impl FrameReader {
    /// The next frame, which must not be a long one. Cancel-safe: what has been read stays in
    /// the decoder.
    async fn next(&mut self) -> Result<Frame, StreamError> {
        loop {
            if let Some(bytes) = self.decoder.next_frame()? {
                return Ok(Frame::decode(&bytes)?);
            }
            if self.decoder.awaited().is_some() {
                return Err(StreamError::OutOfTurn);
            }
            self.fill().await?;
        }
    }

    /// Whatever the next read brings: whole frames, decoded by the caller, or nothing yet.
    /// Cancel-safe. Even a piece of a long frame shows that the peer is there.
    pub(super) async fn read(&mut self) -> Result<(), StreamError> {
        if let Some(bytes) = self.decoder.awaited() {
            self.granted = self.long.grant(bytes).await;
            self.decoder.grant();
        }
        self.fill().await
    }

    /// A frame that has already arrived whole. Done with what the last call gave, the caller
    /// calls again.
    pub(super) fn arrived(&mut self) -> Result<Option<Bytes>, StreamError> {
        if !self.decoder.is_granted() {
            self.granted = None;
        }
        Ok(self.decoder.next_frame()?)
    }

    /// The peer has been silent for too long, unless this process was held up and the
    /// peer's beats lie unread.
    pub(super) async fn last_chance(&mut self) -> Result<(), StreamError> {
        timeout(LAST_CHANCE, self.fill())
            .await
            .unwrap_or(Err(StreamError::Silent))
    }

    async fn fill(&mut self) -> Result<(), StreamError> {
        match self.half.read_buf(self.decoder.read_buffer()).await? {
            0 => Err(StreamError::Closed),
            read => {
                self.counters.peer_bytes_received.add(read);
                Ok(())
            }
        }
    }
}

/// The writing side.
#[derive(Debug)]
pub(super) struct FrameWriter {
    encoder: FrameEncoder,
    sink: Sink,
}

/// Where sealed bytes go.
#[derive(Debug)]
struct Sink {
    half: OwnedWriteHalf,
    out: BytesMut,
    /// The peer's cluster address, once it is known.
    peer: Option<SocketAddr>,
    counters: Arc<Counters>,
}

impl FrameWriter {
    pub(super) async fn send(&mut self, frame: &Frame) -> Result<(), StreamError> {
        self.put(&frame.encode()?).await?;
        self.flush().await
    }

    /// Seals a frame into the buffer that the next [`flush`](Self::flush) writes. The beginning
    /// of a long one is written at once, so that it is not in memory once more.
    pub(super) async fn put(&mut self, frame: &[u8]) -> Result<(), StreamError> {
        let mut sealing = self.encoder.begin(frame)?;
        while sealing.step(&mut self.sink.out)? {
            self.sink.flush().await?;
        }
        self.sink.counters.peer_frames_sent.one();
        Ok(())
    }

    /// Seals a frame, however long, into the buffer that the next flush writes.
    pub(super) fn put_whole(&mut self, frame: &[u8]) -> Result<(), StreamError> {
        let mut sealing = self.encoder.begin(frame)?;
        while sealing.step(&mut self.sink.out)? {}
        self.sink.counters.peer_frames_sent.one();
        Ok(())
    }

    /// Bytes that wait to be flushed.
    pub(super) fn pending(&self) -> usize {
        self.sink.out.len()
    }

    /// Writes what was put. Not cancel-safe: a frame cut in the middle ends the stream.
    ///
    /// Fails only when the peer takes nothing at all for [`SILENCE_MAX`]: a slow link that
    /// moves is not a broken one.
    pub(super) async fn flush(&mut self) -> Result<(), StreamError> {
        self.sink.flush().await
    }

    /// Writes what was put as far as it is taken at once; whether that is all.
    pub(super) fn try_flush(&mut self) -> Result<bool, StreamError> {
        self.sink.try_flush()
    }
}

impl Sink {
    async fn flush(&mut self) -> Result<(), StreamError> {
        if self.peer.is_some_and(cuts::is_cut) {
            return Ok(());
        }
        while !self.out.is_empty() {
            let written = timeout(SILENCE_MAX, self.half.write_buf(&mut self.out))
                .await
                .map_err(|_| StreamError::Stuck)??;
            self.note_written(written)?;
        }
        Ok(())
    }

    fn try_flush(&mut self) -> Result<bool, StreamError> {
        while !self.out.is_empty() {
            if self.peer.is_some_and(cuts::is_cut) {
                return Ok(false);
            }
            match self.half.try_write(&self.out) {
                Ok(written) => {
                    self.out.advance(written);
                    self.note_written(written)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// So many bytes are gone from the buffer.
    fn note_written(&mut self, written: usize) -> Result<(), StreamError> {
        if written == 0 {
            return Err(StreamError::Closed);
        }
        self.counters.peer_bytes_sent.add(written);
        if self.out.is_empty() && self.out.capacity() > BUFFER_KEPT_MAX {
            self.out = BytesMut::new();
        }
        Ok(())
    }
}

/// Both sides of a stream after its introduction, and who is at the other end.
pub(super) struct Introduced {
    pub(super) reader: FrameReader,
    pub(super) writer: FrameWriter,
    pub(super) peer: Hello,
}

/// Introduces this node on a stream that it opened to `expected`.
pub(super) async fn introduce(
    core: &Core,
    stream: TcpStream,
    expected: &Identity,
) -> Result<Introduced, StreamError> {
    stream.set_nodelay(true)?;
    let (mut read, mut write) = stream.into_split();
    let (handshake, message) = Handshake::initiator(&core.profile.keys, PURPOSE, entropy())?;
    write.write_all(&message).await?;
    let established = shake(handshake, &mut read).await?;
    let (mut reader, mut writer) = halves(core, established, read, write);
    writer.sink.peer = Some(expected.addr);
    writer.send(&Frame::Hello(own_hello(core))).await?;
    let peer = match reader.next().await? {
        Frame::Hello(peer) => peer,
        Frame::Refused(reason) => return Err(StreamError::Refused(reason)),
        _ => return Err(StreamError::OutOfTurn),
    };
    check(core, &peer)?;
    if peer.identity.id != expected.id {
        return Err(StreamError::OtherNode {
            expected: expected.id,
            found: peer.identity.id,
        });
    }
    Ok(Introduced {
        reader,
        writer,
        peer,
    })
}

/// Lets a peer introduce itself on a stream that it opened to this node.
pub(super) async fn receive(core: &Core, stream: TcpStream) -> Result<Introduced, StreamError> {
    stream.set_nodelay(true)?;
    let (mut read, mut write) = stream.into_split();
    let handshake = Handshake::responder(core.profile.keys.clone(), PURPOSE, entropy());
    let established = shake(handshake, &mut read).await?;
    write.write_all(&established.reply).await?;
    let (mut reader, mut writer) = halves(core, established, read, write);
    let Frame::Hello(peer) = reader.next().await? else {
        return Err(StreamError::OutOfTurn);
    };
    writer.sink.peer = Some(peer.identity.addr);
    if let Err(error) = check(core, &peer) {
        writer.send(&Frame::Refused(error.to_string())).await?;
        return Err(error);
    }
    writer.send(&Frame::Hello(own_hello(core))).await?;
    Ok(Introduced {
        reader,
        writer,
        peer,
    })
}

async fn shake(
    mut handshake: Handshake,
    read: &mut OwnedReadHalf,
) -> Result<Established, StreamError> {
    // The handshake keeps what comes behind it, so a read may be of any size.
    let mut buffer = [0; 512];
    loop {
        let length = read.read(&mut buffer).await?;
        if length == 0 {
            return Err(StreamError::Closed);
        }
        if let Some(established) = handshake.push(buffer.get(..length).unwrap_or_default())? {
            return Ok(established);
        }
    }
}

fn halves(
    core: &Core,
    established: Established,
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
) -> (FrameReader, FrameWriter) {
    let reader = FrameReader {
        half: read,
        decoder: established.decoder,
        counters: core.counters.clone(),
        long: core.long_frames.clone(),
        granted: None,
    };
    let writer = FrameWriter {
        encoder: established.encoder,
        sink: Sink {
            half: write,
            out: BytesMut::new(),
            peer: None,
            counters: core.counters.clone(),
        },
    };
    (reader, writer)
}

fn own_hello(core: &Core) -> Hello {
    Hello {
        protocol: core.profile.fingerprint.protocol,
        fingerprint: core.profile.fingerprint.clone(),
        identity: core.roster().me,
        name: core.profile.name.clone(),
    }
}

/// Whether this node may exchange data with that peer.
fn check(core: &Core, peer: &Hello) -> Result<(), StreamError> {
    if let Some(mismatch) = core.profile.fingerprint.mismatch(&peer.fingerprint) {
        return Err(mismatch.into());
    }
    if peer.identity.id == core.profile.id {
        return Err(StreamError::Myself);
    }
    Ok(())
}

fn entropy() -> [u8; 32] {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}
