//! Streams: exchanging everything with another member.

use std::io;
use std::net::SocketAddr;

use rt::time::timeout;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Shared;
use crate::memberlist::message::{
    MAX_MESSAGE_BYTES, Message, MessageError, StreamMessage, open_stream as open_message,
};
use crate::memberlist::transport::{Connection, open_stream};

/// Whether a stream begins with a label.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    /// It comes from another member.
    Expected,
    /// It is the answer to a stream of this side.
    None,
}

impl Shared {
    /// Sends everything to a member and takes what it knows.
    pub(super) async fn push_pull(&self, to: SocketAddr, join: bool) -> io::Result<()> {
        let _permit = self.push_pulls.acquire().await.map_err(io::Error::other)?;
        self.counters.outgoing_streams.inc();
        let exchanged = self.exchange(to, join).await;
        if exchanged.is_err() {
            self.counters.outgoing_stream_errors.inc();
        }
        exchanged
    }

    async fn exchange(&self, to: SocketAddr, join: bool) -> io::Result<()> {
        let options = &self.options.transport;
        let header = self.options.gossip.envelope.stream_header();
        let mut stream = open_stream(to, &header, (self.network.as_ref(), options)).await?;
        let answer = async {
            self.push(stream.as_mut(), join).await?;
            self.read(stream.as_mut(), Label::None).await
        };
        let answer = timeout(options.stream_timeout, answer).await.map_err(io::Error::other)??;
        let StreamMessage::PushPull(state) = answer else {
            return Err(io::Error::other("the answer is not a state"));
        };
        let now = self.now();
        self.with(|gossip| gossip.merge_remote_state(now, state));
        Ok(())
    }

    async fn push(&self, stream: &mut dyn Connection, join: bool) -> io::Result<()> {
        let state = self.with(|gossip| gossip.local_state(join));
        let (state, _) = state.ok_or_else(|| io::Error::other("the gossip has ended"))?;
        self.counters.sent_bytes.inc_by(state.len() as u64);
        stream.write_all(&state).await?;
        stream.flush().await
    }

    /// Reads until a message is complete.
    async fn read(&self, stream: &mut dyn Connection, label: Label) -> io::Result<StreamMessage> {
        let mut bytes = Vec::new();
        loop {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let message = match label {
                Label::Expected => self.options.gossip.envelope.without_label(&bytes),
                Label::None => Ok(&bytes[..]),
            };
            match message.and_then(open_message) {
                Err(MessageError::Truncated) if bytes.len() < MAX_MESSAGE_BYTES => {
                    // Whole pieces, so that a long message is not looked at too often.
                    bytes.reserve(bytes.len().clamp(64 << 10, 4 << 20));
                }
                Err(error) => return Err(io::Error::other(error)),
                Ok(message) => {
                    self.counters.received_bytes.inc_by(bytes.len() as u64);
                    return Ok(message);
                }
            }
        }
    }

    /// Answers a stream of another member.
    pub(super) async fn serve_stream(&self, mut stream: Box<dyn Connection>) -> io::Result<()> {
        let serve = async {
            match self.read(stream.as_mut(), Label::Expected).await? {
                StreamMessage::PushPull(state) => {
                    let Ok(_permit) = self.push_pulls.try_acquire() else {
                        return Err(io::Error::other("too many exchanges at once"));
                    };
                    self.push(stream.as_mut(), state.join).await?;
                    let now = self.now();
                    self.with(|gossip| gossip.merge_remote_state(now, state));
                    stream.shutdown().await
                }
                StreamMessage::Ping(ping) => {
                    stream.write_all(&Message::Ack(ping.seq).encode()).await?;
                    stream.shutdown().await
                }
                StreamMessage::User(pair) => {
                    let now = self.now();
                    self.with(|gossip| gossip.handle_user_message(now, &pair));
                    Ok(())
                }
            }
        };
        let limit = self.options.transport.stream_timeout;
        timeout(limit, serve).await.map_err(io::Error::other)?
    }
}
