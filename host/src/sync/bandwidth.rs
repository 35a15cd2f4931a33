//! A limit on what uploads send, so that evidence leaves room on a thin link.
//!
//! A bucket of tokens, one a byte: it fills at the configured rate, holds what comes in one second, and is full at the
//! start. So in any `t` seconds at most `rate × (t + 1)` bytes are handed to the connection. Counted are the bytes of
//! bodies, as they are sent (compressed ones compressed); headers and TLS add a few per cent. All requests of a
//! client share one bucket.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// Largest piece that is let through at once, in bytes.
const PIECE: u64 = 16 << 10;

type Sleep = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// Where time comes from. Monotonic: a step of the wall clock neither opens nor closes the limit.
pub(super) trait Clock: Send + Sync {
    /// Time since some beginning.
    fn now(&self) -> Duration;
    /// Completes after this long.
    fn sleep(&self, time: Duration) -> Sleep;
}

struct Monotonic(Instant);

impl Clock for Monotonic {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(time))
    }
}

/// The bucket. Its fill is counted in byte-nanoseconds, so that nothing is lost in rounding.
struct Bucket {
    rate: u64,
    fill: u128,
    at: Duration,
}

const SECOND: u128 = 1_000_000_000;

impl Bucket {
    fn full(rate: u64, now: Duration) -> Self {
        Self { rate, fill: u128::from(rate) * SECOND, at: now }
    }

    /// Takes at most `wanted` bytes; none means to wait as long as the error says.
    fn take(&mut self, wanted: u64, now: Duration) -> Result<u64, Duration> {
        let passed = now.saturating_sub(self.at).as_nanos();
        self.at = self.at.max(now);
        let most = u128::from(self.rate) * SECOND;
        self.fill = self.fill.saturating_add(passed.saturating_mul(u128::from(self.rate))).min(most);
        // Whole pieces: a bucket that drips would send packets of a few bytes.
        let piece = u128::from(wanted.min(PIECE).min(self.rate).max(1));
        let needed = piece * SECOND;
        if self.fill >= needed {
            self.fill -= needed;
            return Ok(u64::try_from(piece).unwrap_or(PIECE));
        }
        let nanos = (needed - self.fill).div_ceil(u128::from(self.rate));
        Err(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// The limit, shared by all bodies it is put on.
#[derive(Clone)]
pub(super) struct Bandwidth {
    bucket: Arc<Mutex<Bucket>>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Bandwidth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bandwidth").finish_non_exhaustive()
    }
}

impl Bandwidth {
    /// At most `rate` bytes a second; at least 1.
    pub(super) fn new(rate: u64) -> Self {
        Self::with_clock(rate, Arc::new(Monotonic(Instant::now())))
    }

    fn with_clock(rate: u64, clock: Arc<dyn Clock>) -> Self {
        let bucket = Bucket::full(rate.max(1), clock.now());
        Self { bucket: Arc::new(Mutex::new(bucket)), clock }
    }

    /// The body, let through at this rate. It is asked for its next frame only when there is room for it.
    pub(super) fn limit<B: Body<Data = Bytes>>(&self, body: B) -> Limited<B> {
        Limited { body: Box::pin(body), held: Bytes::new(), waiting: None, bandwidth: self.clone() }
    }
}

/// A body within a bandwidth.
pub(super) struct Limited<B> {
    body: Pin<Box<B>>,
    /// What the body gave and the limit has not let through.
    held: Bytes,
    waiting: Option<Sleep>,
    bandwidth: Bandwidth,
}

impl<B: Body<Data = Bytes>> Body for Limited<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(context));
                self.waiting = None;
            }
            if self.held.is_empty() {
                match ready!(self.body.as_mut().poll_frame(context)) {
                    None => return Poll::Ready(None),
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => self.held = data,
                        Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                    },
                }
                continue;
            }
            let now = self.bandwidth.clock.now();
            let wanted = u64::try_from(self.held.len()).unwrap_or(u64::MAX);
            let taken = self.bandwidth.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(wanted, now);
            match taken {
                Ok(bytes) => {
                    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.held.len());
                    let piece = self.held.split_to(bytes);
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                Err(time) => self.waiting = Some(self.bandwidth.clock.sleep(time)),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = u64::try_from(self.held.len()).unwrap_or(u64::MAX);
        let inner = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time that passes only where somebody sleeps.
    #[derive(Default)]
    struct Virtual(Mutex<Duration>);

    impl Clock for Virtual {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn sleep(&self, time: Duration) -> Sleep {
            *self.0.lock().unwrap() += time;
            Box::pin(std::future::ready(()))
        }
    }

    struct Pieces(Vec<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
            Poll::Ready(self.0.pop().map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    /// Reads a body to its end; each piece with the time at which it came.
    fn drain(body: impl Body<Data = Bytes, Error = std::io::Error>, clock: &Virtual) -> Vec<(Duration, Bytes)> {
        let mut body = Box::pin(body);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut pieces = Vec::new();
        while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut context) {
            pieces.push((clock.now(), frame.unwrap().into_data().unwrap()));
        }
        pieces
    }

    #[test]
    fn in_any_window_no_more_passes_than_the_rate_and_one_second_of_it() {
        for rate in [1, 1000, 100_000, 10_000_000] {
            let clock = Arc::new(Virtual::default());
            let limit = Bandwidth::with_clock(rate, clock.clone());
            let total = usize::try_from(rate * 5).unwrap();
            let data = Bytes::from(vec![7; total]);
            let pieces = drain(limit.limit(Pieces(vec![data.slice(total / 3..), data.slice(..total / 3)])), &clock);
            let sent: usize = pieces.iter().map(|(_, piece)| piece.len()).sum();
            assert_eq!(sent, total, "all of it arrives");
            for (at, (start, _)) in pieces.iter().enumerate().step_by(1 + pieces.len() / 50) {
                let mut sum = 0;
                for (now, piece) in &pieces[at..] {
                    sum += piece.len() as u128;
                    let most = u128::from(rate) * (SECOND + (*now - *start).as_nanos());
                    assert!(sum * SECOND <= most, "{sum} bytes in {:?} at {rate} B/s", *now - *start);
                }
            }
            let took = clock.now();
            assert!((Duration::from_secs(4)..Duration::from_millis(4100)).contains(&took), "5 s of bytes in {took:?}");
        }
    }

    #[test]
    fn bodies_share_the_limit_and_idle_time_saves_up_one_second_at_most() {
        let clock = Arc::new(Virtual::default());
        let limit = Bandwidth::with_clock(1000, clock.clone());
        let body = || Pieces(vec![Bytes::from(vec![1; 1000])]);
        drain(limit.limit(body()), &clock);
        assert_eq!(clock.now(), Duration::ZERO, "the bucket was full");
        drain(limit.limit(body()), &clock);
        assert_eq!(clock.now(), Duration::from_secs(1), "the second body waits for what the first has taken");
        drop(clock.sleep(Duration::from_secs(3600)));
        drain(limit.limit(body()), &clock);
        drain(limit.limit(body()), &clock);
        assert_eq!(clock.now(), Duration::from_secs(3602), "an hour of silence is worth one second");
    }
}
