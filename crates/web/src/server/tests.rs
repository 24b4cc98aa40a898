//! A server on a loopback port: limits of time and size, drain, clients that go away.

use axum::http::Uri;
use axum::routing::{get, post};
use rt::ServiceManager;
use rt::metrics::TextFormat;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;

const LONG: Duration = Duration::from_secs(60);

struct Running {
    server: Arc<HttpServer>,
    manager: ServiceManager,
    metrics: Metrics,
}

impl Running {
    async fn start(options: ServerOptions, router: Router) -> Self {
        let metrics = Metrics::new();
        let listener = bind_listener("127.0.0.1", 0, "HTTP").await.unwrap();
        let server = Arc::new(HttpServer::new(listener, options, &metrics).unwrap());
        server.serve(router);
        let mut manager = ServiceManager::new();
        manager.add(Arc::clone(&server) as Arc<dyn Service>, &[]).unwrap();
        manager.add(Arc::new(HttpDrain(Arc::clone(&server))), &["server"]).unwrap();
        manager.start(&CancellationToken::new()).await.unwrap();
        Self { server, manager, metrics }
    }

    /// Sends `request` and returns the connection.
    async fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.server.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Sends `request` and returns all that comes back until the server closes.
    async fn exchange(&self, request: &str) -> String {
        read_all(self.send(request).await).await
    }
}

async fn read_all(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await; // A reset is an end as well.
    String::from_utf8_lossy(&text).into_owned()
}

fn short() -> ServerOptions {
    let soon = Duration::from_millis(50);
    ServerOptions { read_header_timeout: soon, read_timeout: soon, ..ServerOptions::default() }
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    let taken = bind_listener("127.0.0.1", 0, "HTTP").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = bind_listener("127.0.0.1", port, "HTTP").await.unwrap_err();
    let want = format!("cannot listen on 127.0.0.1:{port} for HTTP: Address already in use");
    assert!(error.to_string().starts_with(&want), "{error}");
}

#[tokio::test]
async fn slow_headers_and_bodies_are_cut_off() {
    let echo = post(|body: axum::body::Bytes| async move { body });
    let running = Running::start(short(), Router::new().route("/echo", echo)).await;
    assert_eq!(running.exchange("GET /echo HTT").await, "");
    let body =
        running.exchange("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc").await;
    assert!(body.starts_with("HTTP/1.1 400 "), "{body}");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let options = ServerOptions { idle_timeout: Duration::from_millis(50), ..Default::default() };
    let running = Running::start(options, Router::new().route("/", get(|| async { "ok" }))).await;
    let answer = running.exchange("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_dropped() {
    let options = ServerOptions { write_timeout: Duration::from_millis(50), ..Default::default() };
    let never = get(std::future::pending::<&'static str>);
    let running = Running::start(options, Router::new().route("/", never)).await;
    let answer = running.exchange("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn headers_have_a_bound() {
    let options = ServerOptions { max_header_bytes: 16 * 1024, ..Default::default() };
    let running = Running::start(options, Router::new().route("/", get(|| async { "ok" }))).await;
    let long = "x".repeat(20_000);
    let answer = running.exchange(&format!("GET /?q={long} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

/// As Go's servers do; `curl` sends such lines.
#[tokio::test]
async fn quotes_and_brackets_in_the_url_need_no_escapes() {
    let query = |uri: Uri| async move { uri.query().unwrap_or_default().to_owned() };
    let body = post(|body: String| async move { body });
    let router = Router::new().route("/q", get(query)).route("/body", body);
    let running = Running::start(ServerOptions::default(), router).await;
    let line = "GET /q?a{b=\"c\"}>1#d HTTP/1.1\r\nhost: x\r\n";
    let answer = running.exchange(&format!("{line}connection: close\r\n\r\n")).await;
    assert!(answer.ends_with("\r\n\r\na{b=%22c%22}%3E1%23d"), "{answer}");
    // A body is what it was, also where requests follow one another without a pause.
    let (long, quotes) = ("x".repeat(10_000), "\"<\n>\"");
    let posted = format!("{long}{quotes}{long}");
    let head = format!("POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: {}", posted.len());
    let requests =
        format!("{line}\r\n{head}\r\n\r\n{posted}{head}\r\nconnection: close\r\n\r\n{posted}");
    let answer = running.exchange(&requests).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3);
    assert_eq!(answer.matches(&posted).count(), 2);
}

/// Says when it is dropped.
struct Dropped(Option<oneshot::Sender<()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

/// A handler that reports its start and its drop and never answers.
fn hanging() -> (axum::routing::MethodRouter, oneshot::Receiver<()>, oneshot::Receiver<()>) {
    let (started, has_started) = oneshot::channel();
    let (dropped, was_dropped) = oneshot::channel();
    let once = Arc::new(Mutex::new(Some((started, Dropped(Some(dropped))))));
    let handler = get(move || async move {
        let (started, guard) = once.lock().take().unwrap();
        started.send(()).unwrap();
        std::future::pending::<()>().await;
        drop(guard);
    });
    (handler, has_started, was_dropped)
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_request() {
    let (handler, has_started, was_dropped) = hanging();
    let running = Running::start(ServerOptions::default(), Router::new().route("/", handler)).await;
    let stream = running.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    has_started.await.unwrap();
    drop(stream);
    was_dropped.await.unwrap();
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_refuses_the_rest() {
    let (started, has_started) = oneshot::channel();
    let (release, released) = oneshot::channel::<()>();
    let once = Arc::new(Mutex::new(Some((started, released))));
    let handler = get(move || async move {
        let (started, released) = once.lock().take().unwrap();
        started.send(()).unwrap();
        released.await.unwrap();
        "finished"
    });
    let running = Running::start(ServerOptions::default(), Router::new().route("/", handler)).await;
    let idle = running.send("").await;
    let busy = running.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    has_started.await.unwrap();
    let finish = async {
        // The listener is gone before the request in flight is let go.
        while TcpStream::connect(running.server.address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
        release.send(()).unwrap();
    };
    let (stopped, ()) = tokio::join!(running.manager.stop(LONG), finish);
    stopped.unwrap();
    assert!(read_all(busy).await.ends_with("finished"));
    assert_eq!(read_all(idle).await, "");
    let text = running.metrics.encode(TextFormat::Prometheus);
    assert!(text.contains("cortex_tcp_connections{protocol=\"http\"} 0\n"), "{text}");
}

#[tokio::test]
async fn a_drain_does_not_wait_for_ever() {
    let options = ServerOptions { drain_timeout: Duration::from_millis(50), ..Default::default() };
    let (handler, has_started, was_dropped) = hanging();
    let running = Running::start(options, Router::new().route("/", handler)).await;
    let stream = running.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    has_started.await.unwrap();
    running.manager.stop(LONG).await.unwrap();
    was_dropped.await.unwrap();
    assert_eq!(read_all(stream).await, "");
}
