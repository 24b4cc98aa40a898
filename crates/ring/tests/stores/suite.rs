//! What every store does.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ring::kv::{Client, MemoryStore, MultiOptions, MultiStore, Store};
use ring::{Desc, InstanceDesc, RingCodec};
use rt::time::timeout;
use tokio::sync::mpsc;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn client(store: Arc<dyn Store>) -> Client<Desc> {
    Client::new(store, Arc::new(RingCodec), "collectors/")
}

/// A change that adds an instance with a heartbeat.
pub(crate) fn add(id: &str, timestamp: i64) -> impl FnMut(Option<Desc>) -> Change + Send + use<> {
    let id = id.to_owned();
    move |desc| {
        let mut desc = desc.unwrap_or_default();
        let instance = InstanceDesc { timestamp, tokens: vec![1, 2], ..InstanceDesc::default() };
        desc.ingesters.insert(id.clone(), instance);
        Ok(Some(desc))
    }
}

pub(crate) type Change = Result<Option<Desc>, rt::BoxError>;

pub(crate) fn ids(desc: Option<Desc>) -> Vec<String> {
    desc.unwrap_or_default().ingesters.into_keys().collect()
}

/// Runs the expectations. Values of earlier runs must not be in the store.
pub(crate) async fn check(store: Arc<dyn Store>) {
    let client = client(store);
    assert_eq!(client.get("ring").await.unwrap(), None);
    client.cas("ring", add("a", 10)).await.unwrap();
    client.cas("ring", add("b", 11)).await.unwrap();
    assert_eq!(ids(client.get("ring").await.unwrap()), ["a", "b"]);
    assert_eq!(client.list("").await.unwrap(), ["ring"]);
    check_refusal(&client).await;
    check_races(&client).await;
    check_watches(&client).await;
}

async fn check_refusal(client: &Client<Desc>) {
    let refused = client.cas("ring", |_| Err("no".into())).await;
    assert_eq!(refused.unwrap_err().to_string(), "no");
    client.cas("ring", |_| Ok(None)).await.unwrap();
    assert_eq!(ids(client.get("ring").await.unwrap()), ["a", "b"]);
}

/// Changes at the same time are all there afterwards.
async fn check_races(client: &Client<Desc>) {
    let names: Vec<String> = (0..6).map(|i| format!("r{i}")).collect();
    let races = names.iter().map(|name| client.cas("races", add(name, 10)));
    for raced in futures::future::join_all(races).await {
        raced.unwrap();
    }
    assert_eq!(ids(client.get("races").await.unwrap()), names);
}

async fn check_watches(client: &Client<Desc>) {
    let (sender, mut seen) = mpsc::channel(64);
    let (to_key, to_prefix) = (sender.clone(), sender);
    let by_key = client.watch_key("watched", move |value| {
        let count = value.map_or(0, |desc| desc.ingesters.len());
        to_key.try_send(("key".to_owned(), count)).is_ok() && count < 2
    });
    let by_prefix = client.watch_prefix("watch", move |key, value| {
        let count = value.map_or(0, |desc| desc.ingesters.len());
        to_prefix.try_send((key.to_owned(), count)).is_ok() && count < 2
    });
    let changes = async {
        client.cas("watched", add("a", 10)).await.unwrap();
        // Both have seen the first value before there is a second one.
        for _ in 0..2 {
            assert_eq!(seen.recv().await.unwrap().1, 1);
        }
        client.cas("unrelated", add("a", 10)).await.unwrap();
        client.cas("watched", add("b", 12)).await.unwrap();
        seen
    };
    let all = async { futures::join!(by_key, by_prefix, changes).2 };
    let mut seen = timeout(LIMIT, all).await.expect("both watches end by themselves");
    let mut last = [seen.recv().await.unwrap(), seen.recv().await.unwrap()];
    last.sort();
    assert_eq!(last, [("key".to_owned(), 2), ("watched".to_owned(), 2)]);
}

#[tokio::test]
async fn memory_does_what_every_store_does() {
    let store = Arc::new(MemoryStore::default());
    check(store.clone()).await;
    let client = client(store);
    client.delete("ring").await.unwrap();
    assert_eq!(client.get("ring").await.unwrap(), None);
}

fn multi(first: &Arc<MemoryStore>, second: &Arc<dyn Store>, is_mirroring: bool) -> Arc<MultiStore> {
    let options = MultiOptions { is_mirroring, mirror_timeout: LIMIT };
    let first = Arc::clone(first) as Arc<dyn Store>;
    Arc::new(MultiStore::new(first, Arc::clone(second), options, (&rt::Metrics::new(), "test")))
}

/// A second store in memory with a name of its own.
struct Named(MemoryStore);

impl Store for Named {
    fn name(&self) -> &'static str {
        "second"
    }
    fn get<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn ring::kv::Codec,
    ) -> rt::BoxFuture<'a, Result<Option<ring::kv::SharedValue>, ring::kv::KvError>> {
        self.0.get(key, codec)
    }
    fn cas<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn ring::kv::Codec,
        update: &'a mut ring::kv::Update<'_>,
    ) -> rt::BoxFuture<'a, Result<(), ring::kv::KvError>> {
        self.0.cas(key, codec, update)
    }
    fn delete<'a>(&'a self, key: &'a str) -> rt::BoxFuture<'a, Result<(), ring::kv::KvError>> {
        self.0.delete(key)
    }
    fn list<'a>(
        &'a self,
        prefix: &'a str,
    ) -> rt::BoxFuture<'a, Result<Vec<String>, ring::kv::KvError>> {
        self.0.list(prefix)
    }
    fn watch_key<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn ring::kv::Codec,
        on_change: &'a mut ring::kv::OnChange<'_>,
    ) -> rt::BoxFuture<'a, ()> {
        self.0.watch_key(key, codec, on_change)
    }
    fn watch_prefix<'a>(
        &'a self,
        prefix: &'a str,
        codec: &'a dyn ring::kv::Codec,
        on_change: &'a mut ring::kv::OnChange<'_>,
    ) -> rt::BoxFuture<'a, ()> {
        self.0.watch_prefix(prefix, codec, on_change)
    }
}

#[tokio::test]
async fn two_stores_do_what_every_store_does_and_can_be_switched() {
    let first = Arc::new(MemoryStore::default());
    let second: Arc<dyn Store> = Arc::new(Named(MemoryStore::default()));
    check(multi(&first, &second, true)).await;
    assert_eq!(ids(client(Arc::clone(&second)).get("ring").await.unwrap()), ["a", "b"]);

    let stores = multi(&first, &second, false);
    let both = client(stores.clone());
    let lengths = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&lengths);
    let (told, mut reported) = mpsc::channel(8);
    let watch = both.watch_key("ring", move |value| {
        noted.lock().push(ids(value).len());
        told.try_send(()).is_ok() && noted.lock().len() < 2
    });
    let switch = async {
        reported.recv().await.unwrap();
        both.cas("other", add("x", 10)).await.unwrap();
        assert_eq!(client(Arc::clone(&second)).get("other").await.unwrap(), None);
        client(Arc::clone(&second)).cas("ring", add("c", 20)).await.unwrap();
        assert!(stores.set_primary("second") && !stores.set_primary("third"));
    };
    timeout(LIMIT, async { futures::join!(watch, switch) }).await.unwrap();
    assert_eq!(*lengths.lock(), [2, 3]);
}
