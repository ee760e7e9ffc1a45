//! One accepted connection: seated while it is open, closed when it idles or has to give way, and closed gently.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::http::seats::{Seat, Seated};

/// After our last word a sender has this long to stop sending.
const LINGER: Duration = Duration::from_secs(2);

/// And we listen to no more than this of what it still says.
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A connection that holds its seat while it is open.
///
/// The HTTP library ends a connection whose head does not come in time, but not one that never says anything: so the
/// stream itself gives up when nothing moves in either direction.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    idle_max: Duration,
    give_way: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whether bytes have come since our last word.
    in_request: bool,
    /// Whether our last word is said.
    lingering: bool,
    /// How many bytes came since.
    heard: usize,
    seated: Seated,
}

impl Connection {
    /// Makes the connection of a stream that has a seat and may idle for `idle_max`.
    pub(super) fn new(stream: TcpStream, seated: Seated, idle_max: Duration) -> Self {
        Self {
            stream,
            idle: Box::pin(sleep(idle_max)),
            idle_max,
            give_way: Box::pin(seated.seat().give_way()),
            in_request: false,
            lingering: false,
            heard: 0,
            seated,
        }
    }

    /// Returns the seat, for those who answer what is asked here.
    pub(super) fn seat(&self) -> Arc<Seat> {
        Arc::clone(self.seated.seat())
    }

    /// Breaks off where somebody else needs the seat, even where something could be read or written.
    ///
    /// Who has many requests behind each other, and is always ready for more, would otherwise go on for as long as
    /// they last, beside those who have the seats.
    fn stay(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.give_way.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::QuotaExceeded.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Passes on what moved, and gives up where nothing has moved for too long, unless it is our turn.
    fn unless_idle<T>(&mut self, moved: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.idle.as_mut().reset(Instant::now() + self.idle_max);
            return moved;
        }
        ready!(self.idle.as_mut().poll(context));
        if !self.seated.seat().waits_for_us() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.idle.as_mut().reset(Instant::now() + self.idle_max);
        self.idle.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Notes that a request begins with what was heard, or that something was said: an answer, or more of one.
    fn turn(&mut self, in_request: bool) {
        if !(self.in_request && in_request) {
            self.in_request = in_request;
            self.seated.seat().moved();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stay(context)?;
        let moved = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.seated.seat().listened();
        if moved.is_ready() {
            self.turn(true);
        }
        self.unless_idle(moved, context)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stay(context)?;
        let moved = Pin::new(&mut self.stream).poll_write(context, bytes);
        if moved.is_ready() {
            self.turn(false);
        }
        self.unless_idle(moved, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stay(context)?;
        let moved = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if moved.is_ready() {
            self.turn(false);
        }
        self.unless_idle(moved, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Says that nothing more will come, then reads on for a little without keeping anything.
    ///
    /// A socket that is closed while the other side still sends is reset, and the reset can overtake our answer: whose
    /// body was refused for its size would see a broken connection instead of a 413.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.lingering {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            this.idle.as_mut().reset(Instant::now() + LINGER);
            this.lingering = true;
        }
        if this.stay(context).is_err() {
            return Poll::Ready(Ok(()));
        }
        let mut scrap = [0; 8 * 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut scrap);
            match Pin::new(&mut this.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && this.heard < LINGER_BYTES_MAX => {
                    this.heard += buffer.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return this.idle.as_mut().poll(context).map(Ok),
            }
        }
    }
}
