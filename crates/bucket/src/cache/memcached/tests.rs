//! Tests over real memcached servers, one of which dies, and over servers that do not behave.
//! Without the program `memcached` those that need it say so loudly and return.

mod tls;

use model::env::ManualClock;
use rt::Metrics;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::*;
use crate::testing::Memcached;

const LONG: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);

fn options(addresses: &[&str]) -> MemcachedOptions {
    MemcachedOptions {
        addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
        timeout: LONG,
        connect_timeout: LONG,
        max_idle_connections: 10,
        max_async_concurrency: 4,
        max_async_buffer_size: 1000,
        max_get_multi_concurrency: 2,
        max_get_multi_batch_size: 7,
        max_item_size: 1 << 20,
        tls: None,
    }
}

struct World {
    clock: Arc<ManualClock>,
    registry: Metrics,
    cache: MemcachedCache,
}

fn world(options: MemcachedOptions) -> World {
    let (clock, registry) = (Arc::new(ManualClock::new(0)), Metrics::new());
    let metrics = CacheMetrics::new(&registry, "test-cache", "test", "memcached");
    let cache =
        MemcachedCache::start("test-cache", options, Arc::clone(&clock) as Arc<dyn Clock>, metrics);
    World { clock, registry, cache }
}

impl World {
    fn metric(&self, line_start: &str) -> String {
        let text = self.registry.encode(rt::metrics::TextFormat::Prometheus);
        let line = text.lines().find(|line| line.starts_with(line_start));
        line.and_then(|line| Some(line.rsplit_once(' ')?.1.to_owned())).unwrap_or_default()
    }

    /// Asks until the answer is right: writes take their time.
    async fn until(&self, keys: &[CacheKey], is_right: impl Fn(&[Option<Bytes>]) -> bool) {
        let mut got = Vec::new();
        for _ in 0..2000 {
            got = self.cache.get_multi(keys).await;
            if is_right(&got) {
                return;
            }
            rt::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{got:?}");
    }
}

fn key(i: usize) -> CacheKey {
    CacheKey::new("test", &format!("key-{i}"))
}

fn value(i: usize) -> Bytes {
    vec![i as u8; i * 37].into()
}

async fn memcached(port: Option<u16>) -> Option<Memcached> {
    memcached_with(port, &[]).await
}

async fn memcached_with(port: Option<u16>, further: &[&str]) -> Option<Memcached> {
    let dir = tempfile::tempdir().unwrap();
    let found = Memcached::start_with(dir.path(), port, further).await;
    if found.is_none() {
        eprintln!("SKIPPED: the program memcached is not installed");
    }
    found
}

#[tokio::test]
async fn values_are_spread_over_servers_and_come_back() {
    let (Some(first), Some(second)) = (memcached(None).await, memcached(None).await) else {
        return;
    };
    let servers = [first.address(), second.address()];
    let world = world(options(&[&servers[0], &servers[1]]));
    let keys: Vec<CacheKey> = (0..100).map(key).collect();
    for (i, key) in keys.iter().enumerate().take(99) {
        world.cache.set(key, value(i), HOUR);
    }
    let want: Vec<_> = (0..100).map(|i| (i < 99).then(|| value(i))).collect();
    world.until(&keys, |got| got == want).await;
    for server in [&servers[0], &servers[1]] {
        let alone = self::world(options(&[server.as_str()]));
        let held = alone.cache.get_multi(&keys).await.iter().flatten().count();
        assert!((20..80).contains(&held), "{held} of 99 values on one of two servers");
    }
    world.cache.delete(&keys[5]).await;
    assert_eq!(world.cache.get(&keys[5]).await, None);
    world.cache.set(&keys[99], vec![0; (1 << 20) + 1].into(), HOUR);
    world.cache.set(&keys[5], value(5), Duration::ZERO);
    assert_eq!(world.cache.get_multi(&[keys[99].clone(), keys[5].clone()]).await, [None, None]);
    let too_large = "thanos_cache_operation_skipped_total{name=\"test-cache\",component=\"test\",\
                     backend=\"memcached\",operation=\"set\",reason=\"max-item-size\"}";
    assert_eq!(world.metric(too_large), "1");
    assert_eq!(world.metric("thanos_cache_operation_failures_total"), "");
}

#[tokio::test]
async fn a_server_that_is_killed_costs_misses_and_is_used_again_when_it_is_back() {
    let Some(server) = memcached(None).await else { return };
    let port = server.port;
    let world = world(options(&[&format!("127.0.0.1:{port}")]));
    world.cache.set(&key(1), value(1), HOUR);
    world.until(&[key(1)], |got| got[0].is_some()).await;
    server.kill().await;
    for _ in 0..20 {
        world.cache.set(&key(2), value(2), HOUR);
        assert_eq!(world.cache.get_multi(&[key(1), key(2)]).await, [None, None]);
    }
    assert_eq!(world.metric("urd_cache_circuits_opened_total"), "1");
    let Some(_server) = memcached(Some(port)).await else { return };
    world.clock.advance(60_000);
    world.cache.get(&key(1)).await;
    world.cache.set(&key(3), value(3), HOUR);
    world.until(&[key(1), key(3)], |got| got == [None, Some(value(3))]).await;
}

#[tokio::test]
async fn a_server_that_is_restarted_is_used_at_once() {
    let Some(server) = memcached(None).await else { return };
    let port = server.port;
    let world = world(options(&[&format!("127.0.0.1:{port}")]));
    world.cache.set(&key(1), value(1), HOUR);
    world.until(&[key(1)], |got| got[0].is_some()).await;
    server.kill().await;
    let Some(_server) = memcached(Some(port)).await else { return };
    assert_eq!(world.cache.get(&key(1)).await, None);
    assert_eq!(world.metric("thanos_cache_operation_failures_total"), "");
}

#[tokio::test]
async fn a_server_that_never_answers_costs_its_time_out_and_then_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let world =
        world(MemcachedOptions { timeout: Duration::from_millis(20), ..options(&[&address]) });
    for _ in 0..10 {
        assert_eq!(world.cache.get(&key(1)).await, None);
    }
    let failures = "thanos_cache_operation_failures_total{name=\"test-cache\",component=\"test\",\
                    backend=\"memcached\",operation=\"getmulti\",reason=\"request-timeout\"}";
    assert_eq!(world.metric(failures), "5");
    assert_eq!(world.metric("urd_cache_circuits_opened_total"), "1");
}

#[tokio::test]
async fn no_server_and_a_full_queue_are_misses() {
    let none = world(options(&[]));
    none.cache.set(&key(1), value(1), HOUR);
    none.cache.delete(&key(1)).await;
    assert_eq!(none.cache.get_multi(&[key(1), key(2)]).await, [None, None]);

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let full = world(MemcachedOptions { max_async_buffer_size: 5, ..options(&[&address]) });
    for i in 0..50 {
        full.cache.set(&key(i), value(i), HOUR);
    }
    let skipped = "thanos_cache_operation_skipped_total{name=\"test-cache\",component=\"test\",\
                   backend=\"memcached\",operation=\"set\",reason=\"async-buffer-full\"}";
    assert_eq!(full.metric(skipped), "45");
    // What was queued is sent.
    let (mut socket, _) = silent.accept().await.unwrap();
    let mut sent = [0; 4];
    socket.read_exact(&mut sent).await.unwrap();
    assert_eq!(&sent, b"set ");
}
