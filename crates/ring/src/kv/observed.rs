//! A store whose requests are timed, under the name and labels of Mimir's dashboards. Put around a
//! store by whoever builds clients, once for each use of it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use model::Clock;
use rt::metrics::HistogramVec;
use rt::{BoxFuture, Metrics};

use super::{Codec, KvError, OnChange, SharedValue, Store, Update};

/// Upper bounds, seconds.
const BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Which of the stores of a pair it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreRole {
    /// The only one, or the one that a pair begins with.
    Primary,
    /// The other one of a pair.
    Secondary,
}

/// Where requests to stores are observed.
#[derive(Clone)]
pub struct StoreTimes {
    seconds: HistogramVec,
    clock: Arc<dyn Clock>,
}

impl StoreTimes {
    /// Registers the metric.
    pub fn new(metrics: &Metrics, clock: Arc<dyn Clock>) -> Self {
        let seconds = metrics.histogram_vec(
            "cortex_kv_request_duration_seconds",
            "Time spent on kv store requests.",
            &["kv_name", "operation", "role", "status_code", "type"],
            BUCKETS,
        );
        Self { seconds, clock }
    }

    /// Observes what is asked of `store` for the use that `kv_name` names.
    pub fn of(&self, store: Arc<dyn Store>, kv_name: &str, role: StoreRole) -> Arc<dyn Store> {
        let role = match role {
            StoreRole::Primary => "primary",
            StoreRole::Secondary => "secondary",
        };
        Arc::new(ObservedStore { store, times: self.clone(), kv_name: kv_name.to_owned(), role })
    }
}

struct ObservedStore {
    store: Arc<dyn Store>,
    times: StoreTimes,
    kv_name: String,
    role: &'static str,
}

impl ObservedStore {
    async fn timed<T>(
        &self,
        operation: &str,
        request: BoxFuture<'_, Result<T, KvError>>,
    ) -> Result<T, KvError> {
        let start = self.times.clock.monotonic();
        let result = request.await;
        let status_code = match &result {
            // Whoever wanted the change thought better of it.
            Ok(_) | Err(KvError::Refused(_)) => "200",
            Err(_) => "500",
        };
        self.observe(operation, status_code, start);
        result
    }

    /// A watch that is dropped is not observed: it did not end.
    async fn timed_watch(&self, operation: &str, watch: BoxFuture<'_, ()>) {
        let start = self.times.clock.monotonic();
        watch.await;
        self.observe(operation, "200", start);
    }

    fn observe(&self, operation: &str, status_code: &str, start: Duration) {
        let took = self.times.clock.monotonic().saturating_sub(start);
        let labels = [&*self.kv_name, operation, self.role, status_code, self.store.name()];
        self.times.seconds.with(&labels).observe(took.as_secs_f64());
    }
}

impl Store for ObservedStore {
    fn name(&self) -> &'static str {
        self.store.name()
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn Codec,
    ) -> BoxFuture<'a, Result<Option<SharedValue>, KvError>> {
        self.timed("GET", self.store.get(key, codec)).boxed()
    }

    fn cas<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn Codec,
        update: &'a mut Update<'_>,
    ) -> BoxFuture<'a, Result<(), KvError>> {
        self.timed("CAS", self.store.cas(key, codec, update)).boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), KvError>> {
        self.timed("Delete", self.store.delete(key)).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, KvError>> {
        self.timed("List", self.store.list(prefix)).boxed()
    }

    fn watch_key<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn Codec,
        on_change: &'a mut OnChange<'_>,
    ) -> BoxFuture<'a, ()> {
        self.timed_watch("WatchKey", self.store.watch_key(key, codec, on_change)).boxed()
    }

    fn watch_prefix<'a>(
        &'a self,
        prefix: &'a str,
        codec: &'a dyn Codec,
        on_change: &'a mut OnChange<'_>,
    ) -> BoxFuture<'a, ()> {
        self.timed_watch("WatchPrefix", self.store.watch_prefix(prefix, codec, on_change)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use model::env::ManualClock;

    use super::super::{Client, MemoryStore};
    use super::*;
    use crate::{Desc, RingCodec};

    #[tokio::test]
    async fn requests_are_observed_by_use_operation_and_outcome() {
        let (metrics, clock) = (Metrics::new(), Arc::new(ManualClock::new(0)));
        let times = StoreTimes::new(&metrics, clock.clone());
        let store = times.of(Arc::new(MemoryStore::default()), "a-ring", StoreRole::Secondary);
        let client: Client<Desc> = Client::new(store, Arc::new(RingCodec), "collectors/");
        client
            .cas("ring", |_| {
                clock.advance(3_000);
                Ok(Some(Desc::default()))
            })
            .await
            .unwrap();
        assert!(client.cas("ring", |_| Err("no".into())).await.is_err());
        assert!(client.get("ring").await.unwrap().is_some());
        client.watch_key("ring", |_| false).await;
        let samples = metrics.gather().unwrap().samples;
        let value = |part: &str, operation: &str| {
            let name = format!("cortex_kv_request_duration_seconds_{part}");
            let labels = [
                ("kv_name", "a-ring"),
                ("operation", operation),
                ("role", "secondary"),
                ("status_code", "200"),
                ("type", "inmemory"),
            ];
            let labels: Vec<(String, String)> =
                labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            let mut found = samples.iter().filter(|it| it.name == name && it.labels == labels);
            found.next().map(|sample| sample.value)
        };
        assert_eq!((value("count", "CAS"), value("sum", "CAS")), (Some(2.0), Some(3.0)));
        assert_eq!(value("count", "GET"), Some(1.0));
        assert_eq!(value("count", "WatchKey"), Some(1.0));
        assert_eq!(value("count", "Delete"), None);
    }
}
