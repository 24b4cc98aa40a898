//! Reads from a ring of ingesters, some of which miss samples, fail or break off.

use config::Config;
use model::env::{ManualClock, SeededRandom};
use model::storage::DecodedSamples;
use model::{Labels, SampleBuffer, SeriesEntry};
use parking_lot::Mutex;
use ring::{Desc, InstanceDesc, InstanceState, Ring, RingRules};
use rt::{ComputeOptions, ComputePool};

use wire::client::ActiveSeries;

use super::*;

const NOW_S: i64 = 1_000;

type Samples = BTreeMap<String, Vec<(i64, f64)>>;

/// What an ingester does.
#[derive(Clone, Copy, PartialEq)]
enum Conduct {
    Answers,
    IsDown,
    /// Hands out so many series and fails.
    BreaksOffAfter(usize),
    RefusesByLimit,
    /// Has ever more series with ever more values.
    NeverEnds,
}

struct FakeIngester {
    samples: Samples,
    conduct: Conduct,
    asked: Arc<Mutex<usize>>,
}

impl IngesterQuery for FakeIngester {
    fn queryable(&self, _: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError> {
        *self.asked.lock() += 1;
        match self.conduct {
            Conduct::IsDown => Err(StorageError::Unavailable("it is down".to_owned())),
            Conduct::RefusesByLimit => Err(StorageError::BadRequest("too much".to_owned())),
            _ => Ok(Some(Arc::new(FakeData(self.samples.clone(), self.conduct)))),
        }
    }

    fn metadata(
        &self,
        _: &TenantId,
        _: &MetadataFilter,
    ) -> Result<Vec<OwnedMetadata>, StorageError> {
        Ok(Vec::new())
    }

    fn user_stats(&self, _: &TenantId) -> Result<UserStats, StorageError> {
        if self.conduct == Conduct::IsDown {
            return Err(StorageError::Unavailable("it is down".to_owned()));
        }
        let num_series = self.samples.len() as u64;
        Ok(UserStats { num_series, ..UserStats::default() })
    }

    fn label_names_and_values(
        &self,
        _: CardinalityQuery<'_>,
        visit: ValueVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.names().try_for_each(|name| visit("__name__", &name))
    }

    /// Those with an even number are of native histograms.
    fn active_series(
        &self,
        _: CardinalityQuery<'_>,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.names().try_for_each(|name| {
            let labels = Labels::from_pairs([("__name__", name.as_str())]);
            let is_even = name.ends_with(['0', '2', '4', '6', '8']);
            visit(ActiveSeries { labels, bucket_count: is_even.then_some(7) })
        })
    }
}

impl FakeIngester {
    fn names(&self) -> Box<dyn Iterator<Item = String> + '_> {
        match self.conduct {
            Conduct::NeverEnds => Box::new((0_u64..).map(|i| format!("endless{i}"))),
            _ => Box::new(self.samples.keys().cloned()),
        }
    }
}

#[derive(Clone)]
struct FakeData(Samples, Conduct);

impl Queryable for FakeData {
    fn querier(
        &self,
        _: TimeRange,
        _: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        Ok(Box::new(self.clone()))
    }
}

impl Querier for FakeData {
    fn select(&self, _: &[Matcher], _: &SelectHints) -> Result<Box<dyn SeriesSet>, StorageError> {
        let left = match self.1 {
            Conduct::BreaksOffAfter(count) => count,
            _ => usize::MAX,
        };
        Ok(Box::new(FakeSet { rest: self.0.clone().into_iter(), left }))
    }

    fn label_values(&self, _: &str, _: &[Matcher], _: usize) -> Result<Vec<String>, StorageError> {
        Ok(self.0.keys().cloned().collect())
    }

    fn label_names(&self, _: &[Matcher], _: usize) -> Result<Vec<String>, StorageError> {
        Ok(vec!["__name__".to_owned()])
    }
}

struct FakeSet {
    rest: std::collections::btree_map::IntoIter<String, Vec<(i64, f64)>>,
    left: usize,
}

impl SeriesSet for FakeSet {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        if self.left == 0 {
            return Err(StorageError::Unavailable("it broke off".to_owned()));
        }
        self.left -= 1;
        Ok(self.rest.next().map(|(name, samples)| {
            let mut buffer = SampleBuffer::default();
            samples.iter().for_each(|(t, v)| buffer.push_float(*t, *v));
            let labels = Labels::from_pairs([("__name__", name.as_str())]);
            SeriesEntry { labels, samples: Box::new(DecodedSamples::new(buffer)) }
        }))
    }
}

struct Fakes(BTreeMap<String, Arc<FakeIngester>>);

impl IngesterReads for Fakes {
    fn ingester(&self, address: &str) -> Result<Arc<dyn IngesterQuery>, StorageError> {
        Ok(Arc::clone(&self.0[address]) as _)
    }
}

/// Everything that was acknowledged: 20 series with 30 samples.
fn acknowledged() -> Samples {
    let samples = |i: i64| (0..30).map(|t| (t * 10, (i * t) as f64)).collect();
    (0..20).map(|i| (format!("m{i:02}"), samples(i))).collect()
}

/// What ingester `i` of three holds, where every sample is on two of them.
fn held(i: i64) -> Samples {
    let mut all = acknowledged();
    for samples in all.values_mut() {
        samples.retain(|(t, _)| t / 10 % 3 != i);
    }
    all
}

struct World {
    ingesters: RingIngesters,
    pool: ComputePool,
    asked: Vec<Arc<Mutex<usize>>>,
}

/// Three ingesters, each in a zone of its own where `by_zone`; two of them must answer.
fn world(conducts: [Conduct; 3], hedging: bool, by_zone: bool) -> World {
    let (mut desc, mut fakes, mut asked) = (Desc::default(), BTreeMap::new(), Vec::new());
    for (i, conduct) in (0..3).zip(conducts) {
        let instance = InstanceDesc {
            addr: i.to_string(),
            timestamp: NOW_S,
            state: InstanceState::Active as i32,
            tokens: vec![1_000 * (i as u32 + 1)],
            zone: if by_zone { format!("zone-{i}") } else { String::new() },
            ..InstanceDesc::default()
        };
        desc.ingesters.insert(format!("ingester-{i}"), instance);
        let count = Arc::new(Mutex::new(0));
        asked.push(Arc::clone(&count));
        let fake = FakeIngester { samples: held(i), conduct, asked: count };
        fakes.insert(i.to_string(), Arc::new(fake));
    }
    let rules =
        RingRules { replication_factor: 3, zone_awareness: by_zone, ..RingRules::default() };
    let ring = Arc::new(Ring::new(desc, rules));
    let mut config = Config::default();
    config.limits.active_series_results_max_size_bytes = 10_000;
    config.limits.label_names_and_values_results_max_size_bytes = 10_000;
    let ingesters = RingIngesters::new(RingIngestersParts {
        ring: Arc::new(move || Arc::clone(&ring)),
        ingesters: Arc::new(Fakes(fakes)),
        overrides: Arc::new(Overrides::new(&config)),
        clock: Arc::new(ManualClock::new(NOW_S * 1000)),
        random: Arc::new(SeededRandom::new(3)),
        blocking: BlockingHandle::current(),
        uses_shards: true,
        hedging_delay: hedging.then(|| Duration::from_secs(600)),
    });
    let options = ComputeOptions { name: "t", threads: 1, queue_capacity: 1 };
    World { ingesters, pool: ComputePool::new(options).unwrap(), asked }
}

impl World {
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Querier) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let ingesters = self.ingesters.clone();
        let job = move || {
            let context = Arc::new(QueryContext::unlimited());
            let data = ingesters.queryable(&TenantId::new("team").unwrap())?.unwrap();
            question(&*data.querier(TimeRange::new(0, 1_000), &context)?)
        };
        self.pool.run(job).await.unwrap()
    }

    async fn read(&self) -> Result<Samples, StorageError> {
        self.ask(|querier| {
            let mut set = querier.select(&[], &SelectHints::default())?;
            let mut all = Samples::new();
            while let Some(mut series) = set.next_series()? {
                let mut buffer = SampleBuffer::default();
                series.samples.read_all(&mut buffer)?;
                let times = buffer.float_times.iter().copied();
                let samples = times.zip(buffer.float_values.iter().copied()).collect();
                all.insert(series.labels.value("__name__").to_owned(), samples);
            }
            Ok(all)
        })
        .await
    }
}

const OK: Conduct = Conduct::Answers;

#[tokio::test]
async fn any_two_of_three_replicas_have_every_acknowledged_sample() {
    for (hedging, by_zone) in [(false, false), (true, false), (false, true), (true, true)] {
        for down in 0..3 {
            let mut conducts = [OK; 3];
            conducts[down] = Conduct::IsDown;
            let world = world(conducts, hedging, by_zone);
            assert_eq!(world.read().await.unwrap(), acknowledged());
            let names = world.ask(|querier| querier.label_values("__name__", &[], 0)).await;
            assert_eq!(names.unwrap().len(), 20);
        }
    }
}

#[tokio::test]
async fn with_two_replicas_down_a_query_fails_and_does_not_answer_in_part() {
    for hedging in [false, true] {
        let world = world([Conduct::IsDown, OK, Conduct::IsDown], hedging, true);
        assert!(matches!(world.read().await, Err(StorageError::Unavailable(_))));
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_goes_on_in_another_replica() {
    for broken in 0..3 {
        for after in [0, 1, 7, 19] {
            let mut conducts = [OK; 3];
            conducts[broken] = Conduct::BreaksOffAfter(after);
            let world = world(conducts, true, true);
            assert_eq!(world.read().await.unwrap(), acknowledged(), "{broken} after {after}");
        }
    }
    let conduct = Conduct::BreaksOffAfter(3);
    let world = world([conduct, conduct, OK], true, true);
    assert!(matches!(world.read().await, Err(StorageError::Unavailable(_))));
}

#[tokio::test]
async fn a_query_that_is_refused_is_not_asked_again_elsewhere() {
    let world = world([Conduct::RefusesByLimit; 3], true, false);
    assert!(matches!(world.read().await, Err(StorageError::BadRequest(_))));
}

#[tokio::test]
async fn no_more_replicas_are_asked_than_must_answer() {
    let world = world([OK; 3], true, true);
    assert_eq!(world.read().await.unwrap(), acknowledged());
    assert_eq!(world.asked.iter().map(|count| *count.lock()).sum::<usize>(), 2);
}

/// Each of the three counts 20 series, of which each series is on three.
#[tokio::test]
async fn counts_are_made_of_all_ingesters_or_of_whole_zones() {
    let series = async |conducts, by_zone| {
        let World { ingesters, pool, .. } = world(conducts, true, by_zone);
        let team = TenantId::new("team").unwrap();
        let stats = pool.run(move || ingesters.user_stats(&team)).await.unwrap();
        stats.map(|stats| stats.num_series).ok()
    };
    let one_down = [OK, Conduct::IsDown, OK];
    assert_eq!(series([OK; 3], false).await, Some(20));
    assert_eq!(series(one_down, false).await, None, "a part of the sum would be missing");
    assert_eq!(series([OK; 3], true).await, Some(20));
    assert_eq!(series(one_down, true).await, Some(20), "a zone has everything");
}

impl World {
    /// The names of metrics in the order in which they come.
    async fn names(
        &self,
        ask: fn(&RingIngesters, CardinalityQuery<'_>, &mut Vec<String>) -> Result<(), StorageError>,
    ) -> Result<Vec<String>, StorageError> {
        let ingesters = self.ingesters.clone();
        let job = move || {
            let (tenant, mut found) = (TenantId::new("team").unwrap(), Vec::new());
            let counted = CountMethod::Active;
            ask(
                &ingesters,
                CardinalityQuery { tenant: &tenant, matchers: &[], counted },
                &mut found,
            )?;
            Ok(found)
        };
        self.pool.run(job).await.unwrap()
    }

    /// By label values, by series, and by series of native histograms.
    async fn names_in_all_ways(&self) -> [Result<Vec<String>, StorageError>; 3] {
        let values = self.names(|ingesters, query, found| {
            ingesters.label_names_and_values(query, &mut |_, value| {
                found.push(value.to_owned());
                Ok(())
            })
        });
        let series = self.names(|ingesters, query, found| {
            ingesters.active_series(query, &mut |series| {
                found.push(series.labels.value("__name__").to_owned());
                Ok(())
            })
        });
        let histograms = self.names(|ingesters, query, found| {
            ingesters.active_histogram_series(query, &mut |series| {
                assert_eq!(series.bucket_count, Some(7));
                found.push(series.labels.value("__name__").to_owned());
                Ok(())
            })
        });
        [values.await, series.await, histograms.await]
    }
}

#[tokio::test]
async fn what_several_ingesters_know_is_told_once_and_in_order() {
    let all: Vec<String> = acknowledged().into_keys().collect();
    let even: Vec<String> = all.iter().step_by(2).cloned().collect();
    for conducts in [[OK; 3], [OK, Conduct::IsDown, OK]] {
        let [values, series, histograms] = world(conducts, false, true).names_in_all_ways().await;
        assert_eq!((values.unwrap(), series.unwrap()), (all.clone(), all.clone()));
        assert_eq!(histograms.unwrap(), even);
    }
}

/// The bound was asked when everything was there.
#[tokio::test]
async fn an_answer_that_is_too_large_ends_while_it_comes_in() {
    for conducts in [[Conduct::NeverEnds; 3], [OK, OK, Conduct::NeverEnds]] {
        for answer in world(conducts, false, false).names_in_all_ways().await {
            match answer {
                Err(StorageError::Refused(text)) => {
                    assert!(text.contains("greater") || text.contains("too large"), "{text}");
                }
                Err(error) => panic!("{error}"),
                // The other two were enough, and the third was told to stop.
                Ok(_) => assert!(conducts[0] == OK),
            }
        }
    }
}
