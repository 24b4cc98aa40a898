//! The socket of a connection with limits of time: for the headers of a request, for the wait
//! between two requests, and for a client that does not take its answer. The body of a request
//! has a limit of its own (`connection.rs`), because it begins when a handler asks for it.

mod request_line;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use request_line::RequestLines;

use super::ServerOptions;

/// What the connection waits for, shared by the socket and the service on it.
#[derive(Debug)]
pub(super) struct Phase {
    /// A request is being answered: reading has no limit here.
    is_serving: AtomicBool,
    /// The next request has begun to arrive (or the connection is new).
    has_begun: AtomicBool,
    /// A request had a body.
    had_body: AtomicBool,
}

impl Default for Phase {
    fn default() -> Self {
        Self {
            is_serving: AtomicBool::new(false),
            has_begun: AtomicBool::new(true),
            had_body: AtomicBool::new(false),
        }
    }
}

impl Phase {
    /// A request begins; it ends when the returned guard is dropped.
    pub(super) fn serve(this: &Arc<Self>, has_body: bool) -> Serving {
        this.had_body.fetch_or(has_body, Ordering::Relaxed);
        this.is_serving.store(true, Ordering::Relaxed);
        Serving(Arc::clone(this))
    }
}

/// See [`Phase::serve`].
pub(super) struct Serving(Arc<Phase>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.has_begun.store(false, Ordering::Relaxed);
        self.0.is_serving.store(false, Ordering::Relaxed);
    }
}

/// A socket that fails when its peer is too slow.
pub(super) struct TimedStream<S> {
    stream: S,
    phase: Arc<Phase>,
    options: ServerOptions,
    read: Deadline,
    write: Deadline,
    lines: RequestLines,
    /// What was read and did not fit the reader's buffer.
    carried: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TimedStream<S> {
    pub(super) fn new(stream: S, phase: Arc<Phase>, options: ServerOptions) -> Self {
        let (read, write) = (Deadline::default(), Deadline::default());
        let (lines, carried) = (RequestLines::default(), Vec::new());
        Self { stream, phase, options, read, write, lines, carried }
    }

    /// How long the peer may be silent now; `None` for any time.
    fn read_limit(&self) -> Option<Duration> {
        if self.phase.is_serving.load(Ordering::Relaxed) {
            None
        } else if self.phase.has_begun.load(Ordering::Relaxed) {
            Some(self.options.read_header_timeout)
        } else {
            Some(self.options.idle_timeout)
        }
    }

    /// Reads from the socket; request lines come escaped.
    fn read_socket(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.carried.is_empty() {
            self.hand_out(buffer);
            return Poll::Ready(Ok(()));
        }
        if self.phase.had_body.load(Ordering::Relaxed) {
            self.lines.turn_off();
        }
        if !self.lines.is_on() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let mut bytes = [0; 4096];
        let mut part = ReadBuf::new(&mut bytes);
        let result = Pin::new(&mut self.stream).poll_read(cx, &mut part);
        if part.filled().is_empty() {
            return result;
        }
        if self.phase.is_serving.load(Ordering::Relaxed) {
            // The next request, though this one is not answered.
            self.lines.turn_off();
            self.carried.extend_from_slice(part.filled());
        } else {
            self.lines.escape(part.filled(), &mut self.carried);
        }
        self.hand_out(buffer);
        result
    }

    fn hand_out(&mut self, buffer: &mut ReadBuf<'_>) {
        let len = self.carried.len().min(buffer.remaining());
        buffer.put_slice(&self.carried[..len]);
        self.carried.drain(..len);
    }

    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write.clear();
            return result;
        }
        self.write.poll(cx, self.options.write_timeout)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(result) = this.read_socket(cx, buffer) {
            // The limit for headers counts from the first byte, not from the last one.
            let begins = !this.phase.has_begun.swap(true, Ordering::Relaxed);
            if begins || this.phase.is_serving.load(Ordering::Relaxed) {
                this.read.clear();
            }
            return Poll::Ready(result);
        }
        match this.read_limit() {
            Some(limit) => this.read.poll(cx, limit),
            None => {
                this.read.clear();
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.wrote(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.wrote(cx, result)
    }
}

/// A timer that is started by the first poll after it was cleared.
#[derive(Default)]
struct Deadline {
    timer: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Deadline {
    fn clear(&mut self) {
        self.timer = None;
    }

    fn poll<T>(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<io::Result<T>> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(rt::time::sleep(limit)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}
