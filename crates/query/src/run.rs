//! Running queries: on a compute thread, within the tenant's limits, cancelled when nobody waits
//! for the answer any more.

use std::sync::Arc;
use std::time::Duration;

use config::{FrontendConfig, Limits, Overrides, QuerierConfig};
use model::{CancelOnDrop, Clock, Executor, QueryContext, TenantId, TimeRange, TimestampMs};
use promql::annotations::Severity;
use promql::ast::Expr;
use promql::{Engine, EngineOptions, QueryKind};
use rt::{ComputePool, Metrics};
use wire::client::{BlockStore, IngesterQuery};

use crate::activity::ActivityTracker;
use crate::error::ApiError;
use crate::json::Answer;
use crate::log::{QueryCost, QueryLog};
use crate::metrics::QueryMetrics;
use crate::source::{Sources, TenantQueryable};
use crate::stats::{AnswerStats, Timings, WantedStats};
use crate::{features, limits};

/// At most this many annotations of a kind are shown.
const MAX_ANNOTATIONS: usize = 10;

/// What a query service is made of.
pub struct Dependencies {
    /// Options of the engine.
    pub querier: QuerierConfig,
    /// Options of the entry.
    pub frontend: FrontendConfig,
    /// Limits of the tenants.
    pub overrides: Arc<Overrides>,
    /// Recent samples.
    pub ingester: Arc<dyn IngesterQuery>,
    /// Blocks of the bucket.
    pub blocks: Arc<dyn BlockStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The threads that queries run on.
    pub pool: ComputePool,
    /// Where the parts of one query run at the same time.
    pub executor: Arc<dyn Executor>,
    /// Where metrics are registered.
    pub metrics: Metrics,
    /// Where queries that are under way are noted.
    pub activity: ActivityTracker,
}

/// Answers queries.
pub struct QueryService {
    pub(crate) querier: QuerierConfig,
    pub(crate) frontend: FrontendConfig,
    overrides: Arc<Overrides>,
    sources: Sources,
    pool: ComputePool,
    executor: Arc<dyn Executor>,
    metrics: QueryMetrics,
    activity: ActivityTracker,
}

/// A query as a client asks it.
#[derive(Debug, Clone)]
pub(crate) struct QueryRequest {
    /// The text.
    pub(crate) query: String,
    /// When it is evaluated.
    pub(crate) kind: QueryKind,
    /// How long the client is willing to wait.
    pub(crate) timeout: Option<Duration>,
    /// How far instant selectors look back, ms, where it is not the server's default.
    pub(crate) lookback_delta_ms: Option<i64>,
    /// At most this many series in the answer; 0 = all.
    pub(crate) limit: usize,
    /// Which part of what was done for it is told in the answer.
    pub(crate) wanted_stats: WantedStats,
    /// Headers for the log, as `name=value`.
    pub(crate) logged_headers: String,
}

impl QueryService {
    /// A service that is ready at once.
    pub fn new(deps: Dependencies) -> Self {
        let sources = Sources {
            ingester: deps.ingester,
            blocks: deps.blocks,
            clock: deps.clock,
            query_store_after_ms: deps.querier.query_store_after.millis(),
        };
        Self {
            metrics: QueryMetrics::new(&deps.metrics, &deps.querier),
            querier: deps.querier,
            frontend: deps.frontend,
            overrides: deps.overrides,
            sources,
            pool: deps.pool,
            executor: deps.executor,
            activity: deps.activity,
        }
    }

    /// The tenant's limits.
    pub(crate) fn limits(&self, tenant: &TenantId) -> Arc<Limits> {
        self.overrides.limits(tenant)
    }

    /// The time of day, ms.
    pub(crate) fn now_ms(&self) -> TimestampMs {
        self.sources.clock.now_ms()
    }

    /// Time.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.sources.clock)
    }

    /// Recent samples.
    pub(crate) fn ingester(&self) -> &Arc<dyn IngesterQuery> {
        &self.sources.ingester
    }

    /// Parses, checks and evaluates a query.
    pub(crate) async fn query(
        self: &Arc<Self>,
        tenant: TenantId,
        request: QueryRequest,
    ) -> Result<(Answer, QueryCost), ApiError> {
        let limits = self.limits(&tenant);
        let context = self.context(&limits, self.timeout(request.timeout));
        let log = QueryLog::new(self, &context, &tenant, &request);
        let (this, user, started) = (Arc::clone(self), tenant.clone(), log.started());
        let mut wanted =
            (request.wanted_stats != WantedStats::None).then(|| Timings::new(log.asked()));
        let job = move |context: Arc<QueryContext>| {
            let _activity = this.activity.track(|| activity_text(&tenant, &request));
            let now = || this.sources.clock.monotonic();
            let start = *started.get_or_init(now);
            limits::check_expression_size(&request.query, &limits)?;
            let expr = features::parse(&request.query, &limits, &context)?;
            wanted.iter_mut().for_each(|t| (t.started, t.parsed) = (start, now()));
            let mut answer = this.evaluate(tenant, (&request, &expr), &limits, &context)?;
            answer.stats = wanted
                .zip(answer.stats)
                .map(|(timings, stats)| AnswerStats { timings: timings.until(now()), ..stats });
            Ok(answer)
        };
        let result = self.run_in(&user, context, job).await;
        let cost = log.finish(result.as_ref().err());
        Ok((result?, cost))
    }

    /// What the client is willing to wait, if it is less than the own timeout.
    pub(crate) fn timeout(&self, asked: Option<Duration>) -> Duration {
        let own = self.querier.timeout.std();
        asked.map_or(own, |asked| asked.min(own))
    }

    fn evaluate(
        &self,
        tenant: TenantId,
        (request, expr): (&QueryRequest, &Expr),
        limits: &Limits,
        context: &Arc<QueryContext>,
    ) -> Result<Answer, ApiError> {
        features::check_type(expr, request.kind)?;
        let kind = self.clamp(request.kind, limits)?;
        let user = tenant.clone();
        let queryable = self.tenant_queryable(tenant, limits);
        let engine = Engine::new(self.engine_options(request, limits));
        let result = engine.query(expr, kind, &queryable, context);
        self.metrics.used(&user, &context.usage());
        let result = result?;
        let texts = |severity| result.annotations.texts(severity, &request.query, MAX_ANNOTATIONS);
        let mut warnings = texts(Severity::Warning);
        let infos = texts(Severity::Info);
        let mut value = result.value;
        if truncate(&mut value, request.limit) {
            warnings.push("results truncated due to limit".to_owned());
        }
        let stats = Some(AnswerStats::new(result.stats, request.wanted_stats));
        Ok(Answer { value, warnings, infos, stats })
    }

    pub(crate) fn engine_options(&self, request: &QueryRequest, limits: &Limits) -> EngineOptions {
        EngineOptions {
            lookback_delta_ms: request
                .lookback_delta_ms
                .unwrap_or_else(|| self.querier.lookback_delta.millis()),
            max_samples: self.querier.max_samples,
            default_subquery_step_ms: self.querier.default_evaluation_interval.millis(),
            count_samples_per_step: request.wanted_stats != WantedStats::None,
            enable_delayed_name_removal: limits.enable_delayed_name_removal,
            executor: Arc::clone(&self.executor),
            ..EngineOptions::default()
        }
    }

    /// Moves the start of a range query to what the tenant may see, and refuses one that is too
    /// long.
    pub(crate) fn clamp(&self, kind: QueryKind, limits: &Limits) -> Result<QueryKind, ApiError> {
        let QueryKind::Range { start_ms, end_ms, step_ms } = kind else { return Ok(kind) };
        let mut clamped = start_ms;
        if let Some(earliest) = limits::earliest_start(self.now_ms(), limits)
            && earliest > start_ms
        {
            // Whole steps, so that the points stay where they were.
            let steps = (earliest - start_ms + step_ms - 1) / step_ms;
            clamped = (start_ms + steps * step_ms).min(end_ms);
        }
        limits::check_length(clamped, end_ms, limits)?;
        Ok(QueryKind::Range { start_ms: clamped, end_ms, step_ms })
    }

    /// All data of a tenant.
    pub(crate) fn tenant_queryable(&self, tenant: TenantId, limits: &Limits) -> TenantQueryable {
        TenantQueryable {
            sources: self.sources.clone(),
            tenant,
            query_ingesters_within_ms: limits.query_ingesters_within.millis(),
            bounds: limits::time_bounds(self.now_ms(), limits),
        }
    }

    /// Runs a job of a tenant on a compute thread, in the tenant's turn; it is told to stop when
    /// the returned future is dropped.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        (timeout, limits): (Duration, &Limits),
        job: impl FnOnce(Arc<QueryContext>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.run_in(tenant, self.context(limits, timeout), job).await
    }

    async fn run_in<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        context: Arc<QueryContext>,
        job: impl FnOnce(Arc<QueryContext>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let _cancel = CancelOnDrop(Arc::clone(&context));
        let _inflight = self.metrics.enter();
        self.pool.run_for(tenant.as_str(), move || job(context)).await?
    }

    /// The account of a request that starts now.
    pub(crate) fn context(&self, limits: &Limits, timeout: Duration) -> Arc<QueryContext> {
        let limits = limits::query_limits(limits, timeout);
        Arc::new(QueryContext::new(limits, Arc::clone(&self.sources.clock)))
    }

    /// Where the parts of one request run at the same time.
    pub(crate) fn executor(&self) -> &dyn Executor {
        &*self.executor
    }

    /// The threads that queries run on.
    pub(crate) fn pool(&self) -> &ComputePool {
        &self.pool
    }

    /// The metrics of the read path.
    pub(crate) fn metrics(&self) -> &QueryMetrics {
        &self.metrics
    }

    /// Runs a label or series request over a range of time.
    pub(crate) async fn run_over<T: Send + 'static>(
        self: &Arc<Self>,
        tenant: TenantId,
        (start_ms, end_ms): (TimestampMs, TimestampMs),
        job: impl FnOnce(&dyn model::Querier, &QueryContext) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let limits = self.limits(&tenant);
        let (start_ms, end_ms) = limits::labels_range((start_ms, end_ms), self.now_ms(), &limits);
        let queryable = self.tenant_queryable(tenant.clone(), &limits);
        self.run(&tenant, (self.timeout(None), &limits), move |context| {
            use model::Queryable as _;
            let querier = queryable.querier(TimeRange::new(start_ms, end_ms), &context)?;
            job(&*querier, &context)
        })
        .await
    }
}

/// A query as it is noted while it is under way.
fn activity_text(tenant: &TenantId, request: &QueryRequest) -> String {
    format!("user={tenant} kind={:?} query={}", request.kind, request.query)
}

/// Cuts a vector or matrix to its first `limit` series; whether there were more.
fn truncate(value: &mut promql::value::Value, limit: usize) -> bool {
    use promql::value::Value;
    let len = match value {
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.len(),
        Value::Scalar(_) | Value::String { .. } => 0,
    };
    if limit == 0 || len <= limit {
        return false;
    }
    match value {
        Value::Vector(samples) => samples.truncate(limit),
        Value::Matrix(series) => series.truncate(limit),
        Value::Scalar(_) | Value::String { .. } => {}
    }
    true
}
