//! Recent samples from the ingesters of a ring: as many of them are asked as must answer so that
//! no acknowledged sample can be missing, and what they have is merged.
//!
//! Contract with Mimir: the tenant's shuffle shard with look-back; zones, or single ingesters
//! where the ring has no zones, may fail as far as the quorum of writes allows;
//! `-querier.minimize-ingester-requests` asks the smallest number first, and others when one fails
//! or the hedging delay has passed.

mod counts;
mod gather;
mod spares;
mod union;
mod zones;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::Overrides;
use model::storage::sorted_texts;
use model::{
    Clock, Matcher, Querier, QueryContext, Queryable, Random, SelectHints, SeriesExemplars,
    SeriesSet, StorageError, TenantId, TimeRange,
};
use ring::{Operation, ReplicationSet, RingView};
use rt::BlockingHandle;
use wire::client::{
    CardinalityQuery, CountMethod, CountVisitor, IngesterQuery, IngesterReads, MetadataFilter,
    OwnedMetadata, SeriesVisitor, UserStats, ValueVisitor,
};

use crate::replaced::ReplacedSet;
use counts::Estimate;

use gather::{Asked, Groups};
use spares::Spares;
use union::{LabelValues, SeriesUnion, Union};

/// What a [`RingIngesters`] is made of.
#[derive(Clone)]
pub struct RingIngestersParts {
    /// The ring of ingesters.
    pub ring: RingView,
    /// The ways to them.
    pub ingesters: Arc<dyn IngesterReads>,
    /// Limits of the tenants: the size of a tenant's shard.
    pub overrides: Arc<Overrides>,
    /// Time, for heartbeats and look-back.
    pub clock: Arc<dyn Clock>,
    /// Spreads requests over equal replicas.
    pub random: Arc<dyn Random>,
    /// Waits for ingesters.
    pub blocking: BlockingHandle,
    /// Whether only the tenant's shard is asked, with those that belonged to it as far back as
    /// ingesters are asked at all.
    pub uses_shards: bool,
    /// After how long another replica is asked as well, 0 = never; `None` = all are asked at once.
    pub hedging_delay: Option<Duration>,
}

/// The ingesters of a ring, seen as one.
#[derive(Clone)]
pub struct RingIngesters {
    parts: Arc<RingIngestersParts>,
}

impl RingIngesters {
    /// Asks the ingesters of a ring.
    pub fn new(parts: RingIngestersParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Who may hold the tenant's recent samples.
    fn replication_set(&self, tenant: &TenantId) -> Result<ReplicationSet, StorageError> {
        let (parts, now_s) = (&self.parts, self.parts.clock.now_ms() / 1000);
        let limits = parts.overrides.limits(tenant);
        let size = limits.ingestion_tenant_shard_size;
        let lookback_s = limits.query_ingesters_within.millis() / 1000;
        let ring = (parts.ring)();
        let shard = if parts.uses_shards && size > 0 && lookback_s > 0 {
            ring.shuffle_shard_with_lookback(tenant.as_str(), size, lookback_s, now_s)
        } else {
            ring
        };
        let set = shard.replication_set_for_operation(Operation::READ, now_s);
        let mut set = set.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        if set.zone_awareness {
            let (zones, factor) = (shard.zones().len(), shard.rules().replication_factor);
            let zones = zones::unavailable(set.max_unavailable_zones, zones, factor);
            set.max_unavailable_zones = zones.ok_or_else(|| {
                let message = "too many zones have left the ring of ingesters or are not healthy";
                StorageError::Unavailable(message.to_owned())
            })?;
        }
        Ok(set)
    }

    /// Asks `job` of as many ingesters as are needed, each on a thread that may wait.
    fn gather<T, F>(&self, tenant: &TenantId, job: F) -> Result<Asked<T>, StorageError>
    where
        F: Fn(&dyn IngesterQuery) -> Result<T, StorageError> + Send + Sync + 'static,
        T: Send + 'static,
    {
        self.gather_of(&self.replication_set(tenant)?, job)
    }

    /// The same of the ingesters of a set.
    fn gather_of<T, F>(&self, set: &ReplicationSet, job: F) -> Result<Asked<T>, StorageError>
    where
        F: Fn(&dyn IngesterQuery) -> Result<T, StorageError> + Send + Sync + 'static,
        T: Send + 'static,
    {
        let groups = Groups::new(set, &*self.parts.random);
        self.parts.blocking.block_on(gather::gather(&self.parts, groups, Arc::new(job)))
    }

    /// The same, where the answers of all are wanted.
    fn answers<T, F>(&self, tenant: &TenantId, job: F) -> Result<Vec<T>, StorageError>
    where
        F: Fn(&dyn IngesterQuery) -> Result<T, StorageError> + Send + Sync + 'static,
        T: Send + 'static,
    {
        Ok(self.gather(tenant, job)?.answers.into_iter().flatten().collect())
    }

    /// The same for what is counted: the answers by groups of which each counts everything or its
    /// share, and how their counts become one.
    fn counts<T, F>(
        &self,
        tenant: &TenantId,
        job: F,
    ) -> Result<(Vec<Vec<T>>, Estimate), StorageError>
    where
        F: Fn(&dyn IngesterQuery) -> Result<T, StorageError> + Send + Sync + 'static,
        T: Send + 'static,
    {
        let mut set = self.replication_set(tenant)?;
        let factor = (self.parts.ring)().rules().replication_factor;
        let estimate = Estimate::of(&mut set, factor);
        Ok((self.gather_of(&set, job)?.answers, estimate))
    }
}

impl IngesterQuery for RingIngesters {
    fn queryable(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError> {
        Ok(Some(Arc::new(RingTenant { ingesters: self.clone(), tenant: tenant.clone() })))
    }

    fn metadata(
        &self,
        tenant: &TenantId,
        filter: &MetadataFilter,
    ) -> Result<Vec<OwnedMetadata>, StorageError> {
        let (asked, filter_of) = (tenant.clone(), filter.clone());
        let lists = self.answers(tenant, move |ingester| ingester.metadata(&asked, &filter_of))?;
        let mut all: Vec<OwnedMetadata> = lists.into_iter().flatten().collect();
        let key = |m: &OwnedMetadata| {
            (m.family.clone(), m.metric_type as u8, m.help.clone(), m.unit.clone())
        };
        all.sort_by_cached_key(key);
        all.dedup();
        Ok(within(all, filter))
    }

    fn exemplars(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        selectors: &[Vec<Matcher>],
    ) -> Result<Vec<SeriesExemplars>, StorageError> {
        let (asked, selectors) = (tenant.clone(), selectors.to_vec());
        let lists =
            self.answers(tenant, move |ingester| ingester.exemplars(&asked, range, &selectors))?;
        let mut all: Vec<SeriesExemplars> = lists.into_iter().flatten().collect();
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        all.dedup_by(|next, kept| {
            let is_same = next.labels == kept.labels;
            if is_same {
                kept.exemplars.append(&mut next.exemplars);
            }
            is_same
        });
        for series in &mut all {
            series.exemplars.sort_by(|a, b| {
                let by_value = || a.value.total_cmp(&b.value);
                let by_time = a.timestamp_ms.cmp(&b.timestamp_ms);
                by_time.then_with(by_value).then_with(|| a.labels.cmp(&b.labels))
            });
            series.exemplars.dedup();
        }
        Ok(all)
    }

    fn user_stats(&self, tenant: &TenantId) -> Result<UserStats, StorageError> {
        let asked = tenant.clone();
        let (groups, estimate) =
            self.counts(tenant, move |ingester| ingester.user_stats(&asked))?;
        let total = |of: fn(&UserStats) -> f64| {
            estimate.total(groups.iter().map(|group| group.iter().map(of).sum()))
        };
        Ok(UserStats {
            ingestion_rate: total(|stats| stats.ingestion_rate),
            num_series: total(|stats| stats.num_series as f64) as u64,
            api_ingestion_rate: total(|stats| stats.api_ingestion_rate),
            rule_ingestion_rate: total(|stats| stats.rule_ingestion_rate),
            max_time_ms: groups.iter().flatten().filter_map(|stats| stats.max_time_ms).max(),
        })
    }

    /// Asks all healthy ingesters, and fails when one fails.
    fn all_user_stats(&self) -> Result<Vec<(TenantId, UserStats)>, StorageError> {
        let (parts, now_s) = (&self.parts, self.parts.clock.now_ms() / 1000);
        let ring = (parts.ring)();
        let timeout_s = ring.rules().heartbeat_timeout_s;
        let mut totals: BTreeMap<TenantId, UserStats> = BTreeMap::new();
        for instance in ring.instances() {
            if !instance.is_healthy(Operation::READ, timeout_s, now_s) {
                continue;
            }
            for (tenant, stats) in parts.ingesters.ingester(&instance.addr)?.all_user_stats()? {
                totals.entry(tenant).or_default().add(&stats);
            }
        }
        Ok(totals.into_iter().collect())
    }

    fn label_names_and_values(
        &self,
        query: CardinalityQuery<'_>,
        visit: ValueVisitor<'_>,
    ) -> Result<(), StorageError> {
        let question = OwnedQuestion::new(query);
        let empty = LabelValues::new(&self.parts.overrides.limits(query.tenant));
        let found = self.union_of(query.tenant, empty, move |ingester, found| {
            ingester.label_names_and_values(question.query(), &mut |name, value| {
                found.add(|found| found.add(name, value))
            })
        })?;
        for (name, values) in &found.names {
            values.iter().try_for_each(|value| visit(name, value))?;
        }
        Ok(())
    }

    fn label_values_cardinality(
        &self,
        query: CardinalityQuery<'_>,
        name: &str,
        visit: CountVisitor<'_>,
    ) -> Result<(), StorageError> {
        let (question, asked) = (OwnedQuestion::new(query), name.to_owned());
        let (groups, estimate) = self.counts(query.tenant, move |ingester| {
            let mut found = Vec::new();
            ingester.label_values_cardinality(question.query(), &asked, &mut |value, count| {
                found.push((value.to_owned(), count));
                Ok(())
            })?;
            Ok(found)
        })?;
        let count_of_groups = groups.len();
        let mut sums: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for (number, group) in groups.into_iter().enumerate() {
            for (value, count) in group.into_iter().flatten() {
                let sums = sums.entry(value).or_insert_with(|| vec![0.0; count_of_groups]);
                sums[number] += count as f64;
            }
        }
        sums.into_iter().try_for_each(|(value, sums)| visit(&value, estimate.total(sums) as u64))
    }

    fn active_series(
        &self,
        query: CardinalityQuery<'_>,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.active_of(query, |ingester, query, visit| ingester.active_series(query, visit), visit)
    }

    fn active_histogram_series(
        &self,
        query: CardinalityQuery<'_>,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), StorageError> {
        let ask: AskActive =
            |ingester, query, visit| ingester.active_histogram_series(query, visit);
        self.active_of(query, ask, visit)
    }

    fn series_count(&self, query: CardinalityQuery<'_>) -> Result<u64, StorageError> {
        let (asked, counted) = (query.tenant.clone(), query.counted);
        let (groups, estimate) = self.counts(query.tenant, move |ingester| {
            ingester.series_count(CardinalityQuery { tenant: &asked, matchers: &[], counted })
        })?;
        Ok(estimate.total(groups.iter().map(|group| group.iter().sum::<u64>() as f64)) as u64)
    }
}

/// Asks one ingester for active series of a kind.
type AskActive =
    fn(&dyn IngesterQuery, CardinalityQuery<'_>, SeriesVisitor<'_>) -> Result<(), StorageError>;

impl RingIngesters {
    /// What `job` finds in as many ingesters as are needed, put together.
    fn union_of<T, F>(&self, tenant: &TenantId, empty: T, job: F) -> Result<T, StorageError>
    where
        F: Fn(&dyn IngesterQuery, &Union<T>) -> Result<(), StorageError> + Send + Sync + 'static,
        T: Send + 'static,
    {
        let found = Arc::new(Union::new(empty));
        let shared = Arc::clone(&found);
        let asked = self.gather(tenant, move |ingester| job(ingester, &shared));
        // Whoever still answers is stopped, also where the question has failed.
        let found = found.close();
        asked?;
        found.ok_or_else(|| StorageError::Internal("the answers are gone".to_owned()))
    }

    fn active_of(
        &self,
        query: CardinalityQuery<'_>,
        ask: AskActive,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), StorageError> {
        let question = OwnedQuestion::new(query);
        let empty = SeriesUnion::new(&self.parts.overrides.limits(query.tenant));
        let found = self.union_of(query.tenant, empty, move |ingester, found| {
            let mut see = |series| found.add(|found| found.add(series));
            ask(ingester, question.query(), &mut see)
        })?;
        found.sorted().into_iter().try_for_each(visit)
    }
}

/// What a cardinality question is asked with on another thread.
struct OwnedQuestion {
    tenant: TenantId,
    matchers: Vec<Matcher>,
    counted: CountMethod,
}

impl OwnedQuestion {
    fn new(query: CardinalityQuery<'_>) -> Self {
        let (tenant, matchers) = (query.tenant.clone(), query.matchers.to_vec());
        Self { tenant, matchers, counted: query.counted }
    }

    fn query(&self) -> CardinalityQuery<'_> {
        CardinalityQuery { tenant: &self.tenant, matchers: &self.matchers, counted: self.counted }
    }
}

/// What a filter leaves of a sorted list.
fn within(all: Vec<OwnedMetadata>, filter: &MetadataFilter) -> Vec<OwnedMetadata> {
    let bound = |limit: usize| if limit == 0 { usize::MAX } else { limit };
    let (mut families, mut of_family) = (0, 0);
    let mut family: Option<String> = None;
    let mut kept = all;
    kept.retain(|metadata| {
        if family.as_deref() != Some(metadata.family.as_str()) {
            family = Some(metadata.family.clone());
            (families, of_family) = (families + 1, 0);
        }
        of_family += 1;
        families <= bound(filter.limit) && of_family <= bound(filter.limit_per_metric)
    });
    kept
}

/// One tenant's recent samples.
struct RingTenant {
    ingesters: RingIngesters,
    tenant: TenantId,
}

impl Queryable for RingTenant {
    fn querier(
        &self,
        range: TimeRange,
        context: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        Ok(Box::new(RingQuerier {
            ingesters: self.ingesters.clone(),
            tenant: self.tenant.clone(),
            range,
            context: Arc::clone(context),
        }))
    }
}

struct RingQuerier {
    ingesters: RingIngesters,
    tenant: TenantId,
    range: TimeRange,
    context: Arc<QueryContext>,
}

impl RingQuerier {
    /// A question to the querier of each ingester. One without data has no answer.
    fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&dyn Querier) -> Result<T, StorageError> + Send + Sync + 'static,
    ) -> impl Fn(&dyn IngesterQuery) -> Result<Option<T>, StorageError> + Send + Sync + 'static
    {
        let (tenant, range, context) = (self.tenant.clone(), self.range, Arc::clone(&self.context));
        move |ingester| {
            let Some(data) = ingester.queryable(&tenant)? else { return Ok(None) };
            question(&*data.querier(range, &context)?).map(Some)
        }
    }

    fn texts(
        &self,
        limit: usize,
        question: impl Fn(&dyn Querier) -> Result<Vec<String>, StorageError> + Send + Sync + 'static,
    ) -> Result<Vec<String>, StorageError> {
        let lists = self.ingesters.answers(&self.tenant, self.ask(question))?;
        Ok(sorted_texts(lists.into_iter().flatten().flatten().collect(), limit))
    }
}

impl Querier for RingQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        let (matchers, hints) = (matchers.to_vec(), hints.clone());
        // Sources that are merged must tell series apart.
        let hints = SelectHints { without_labels: false, ..hints };
        let job = Arc::new(self.ask(move |querier| querier.select(&matchers, &hints)));
        let first = Arc::clone(&job);
        let asked = self.ingesters.gather(&self.tenant, move |ingester| first(ingester))?;
        let again = {
            let ingesters = self.ingesters.clone();
            move |addresses: &[String]| ingesters.ask_all(addresses, &*job)
        };
        let spares = Spares::new(asked.spares, Box::new(again));
        let sets = asked.answers.into_iter().flatten().flatten();
        let replaced = sets.map(|set| {
            let set: Box<dyn SeriesSet> = Box::new(ReplacedSet::new(set, spares.substitutes()));
            set
        });
        Ok(tsdb::merge::merge_series_sets(replaced.collect()))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        let (name, matchers) = (name.to_owned(), matchers.to_vec());
        self.texts(limit, move |querier| querier.label_values(&name, &matchers, limit))
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        let matchers = matchers.to_vec();
        self.texts(limit, move |querier| querier.label_names(&matchers, limit))
    }
}

/// The series of an ingester; `None` where it has no data of the tenant.
type Answer = Result<Option<Box<dyn SeriesSet>>, StorageError>;

impl RingIngesters {
    /// The series of all these ingesters, one after the other: the caller may wait.
    fn ask_all(
        &self,
        addresses: &[String],
        job: &dyn Fn(&dyn IngesterQuery) -> Answer,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        let mut sets = Vec::with_capacity(addresses.len());
        for address in addresses {
            let ingester = self.parts.ingesters.ingester(address)?;
            sets.extend(job(&*ingester)?);
        }
        Ok(tsdb::merge::merge_series_sets(sets))
    }
}

#[cfg(test)]
mod tests;
