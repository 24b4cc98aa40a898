//! Random expressions that are well typed, from a seed, over the metrics of a fixed schema. Made
//! as text, so that parser, printer and servers can be given them alike. Used by the naive twin
//! and, with a narrower language, by the comparison with a real Prometheus in `crates/urd`.

/// A die: splitmix64, the same seed gives the same throws.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `[0, below)`.
    pub(crate) fn below(&mut self, below: usize) -> usize {
        (self.next() % below.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

/// What the expressions may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Language {
    /// Native histograms, and whatever Prometheus 2.42 does not know or answers otherwise.
    pub(crate) is_new: bool,
    /// The moments that `@` may name, ms.
    pub(crate) at_ms: [i64; 2],
}

/// Metrics with labels job, instance and (the first) code.
const COUNTERS: &[&str] = &["requests_total", "bytes_total"];
const GAUGES: &[&str] = &["temperature", "queue"];
/// With the label le.
const BUCKETS: &str = "latency_bucket";
/// One series of an instance, with a label of its own.
const TARGET: &str = "target";
/// Native histograms; with floats among them; with custom buckets.
const NATIVE: &[&str] = &["rpc", "mixed", "custom"];

const MATH: &[&str] = &[
    "abs",
    "ceil",
    "floor",
    "exp",
    "sqrt",
    "ln",
    "log2",
    "log10",
    "sgn",
    "deg",
    "rad",
    "sin",
    "cos",
    "atan",
    "tanh",
    "asinh",
    "round",
    "timestamp",
];
const DATE: &[&str] = &[
    "hour",
    "day_of_week",
    "month",
    "days_in_month",
    "day_of_year",
    "minute",
    "year",
    "day_of_month",
];
const COUNTER_FUNCTIONS: &[&str] = &["rate", "increase", "irate", "resets", "changes"];
const OVER_TIME: &[&str] = &[
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "last_over_time",
    "present_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "delta",
    "idelta",
    "deriv",
    "changes",
];
const NEW_OVER_TIME: &[&str] = &[
    "first_over_time",
    "mad_over_time",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];
/// With the step and the range of the query; the last one is 0 in instant queries.
const NEW_RANGES: &[&str] = &[
    "1m + step()",
    "max_of(step(), 90s)",
    "min_of(5m, range() + 47)",
    "(2m30s / 2) * 3",
    "-1m + 2 ^ 7",
    "10m % 7m",
    "2 * step()",
];
/// What `info` is asked for besides a vector.
const INFO: &[&str] = &[
    "",
    ", {version=~\".+\"}",
    ", {zone=\"north\"}",
    ", {__name__=\"build_info\"}",
    ", {__name__=~\".+_info\", version!=\"v2\"}",
    ", {__name__!=\"target_info\"}",
    ", {version=\"\"}",
    ", {missing=\"x\"}",
];
const ANCHORED: &[&str] = &["rate", "increase", "delta", "changes", "resets"];
const SMOOTHED: &[&str] = &["rate", "increase", "delta"];
const AGGREGATORS: &[&str] = &["sum", "avg", "min", "max", "count", "group"];
const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^"];
const COMPARISONS: &[&str] = &[">", "<", ">=", "<="];

/// A maker of expressions.
pub(crate) struct Generator<'a> {
    pub(crate) dice: &'a mut Dice,
    pub(crate) language: Language,
    /// Within so many subqueries.
    subqueries: usize,
}

impl<'a> Generator<'a> {
    pub(crate) fn new(dice: &'a mut Dice, language: Language) -> Self {
        Self { dice, language, subqueries: 0 }
    }

    /// An expression for a query: mostly a vector.
    pub(crate) fn query(&mut self) -> String {
        let depth = 1 + self.dice.below(4);
        if self.dice.one_in(12) { self.scalar(depth) } else { self.vector(depth) }
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.selector_with_modifiers();
        }
        match self.dice.below(14) {
            0 => self.selector_with_modifiers(),
            1 | 2 => self.math(depth),
            3..=5 => self.over_range(depth),
            6..=8 => self.aggregation(depth),
            9 | 10 => self.binary(depth),
            11 => self.labels(depth),
            12 => self.buckets(depth),
            _ => self.other(depth),
        }
    }

    fn metric(&mut self) -> &'static str {
        match self.dice.below(9) {
            0..=2 => self.dice.pick(COUNTERS),
            3..=5 => self.dice.pick(GAUGES),
            6 => TARGET,
            7 => BUCKETS,
            _ if self.language.is_new => self.dice.pick(NATIVE),
            _ => GAUGES[0],
        }
    }

    fn selector(&mut self, metric: &str) -> String {
        const MATCHERS: &[&str] = &[
            "job=\"api\"",
            "job!=\"api\"",
            "job=~\"a.*|web\"",
            "instance=~\"[ab]\"",
            "instance!~\"b|c\"",
            "instance=\"a\"",
            "code=\"500\"",
            "code=~\"5..\"",
            "missing=\"\"",
            "zone=~\".+\"",
            "job=\"none\"",
            "le!=\"1\"",
        ];
        let mut matchers = Vec::new();
        while self.dice.one_in(3) && matchers.len() < 3 {
            matchers.push(self.dice.pick(MATCHERS));
        }
        if self.dice.one_in(25) {
            let names = ["{__name__=~\"temperature|queue\"", "{__name__=~\"requests.+\""];
            let first = self.dice.pick(&names).to_owned();
            return [&[first.as_str()], &matchers[..]].concat().join(",") + "}";
        }
        if matchers.is_empty() {
            metric.to_owned()
        } else {
            format!("{metric}{{{}}}", matchers.join(","))
        }
    }

    fn modifiers(&mut self) -> String {
        const OFFSETS: &[&str] = &["30s", "1m", "7m", "-1m", "-33s", "1h"];
        const NEW_OFFSETS: &[&str] =
            &["step()", "-step()", "(step() * 2)", "(1m - 90s)", "-(range() / 7)", "(2 ^ 5)"];
        let mut text = String::new();
        if self.dice.one_in(5) {
            text += " offset ";
            let is_new = self.language.is_new && self.dice.one_in(3);
            text += self.dice.pick(if is_new { NEW_OFFSETS } else { OFFSETS });
        }
        if self.dice.one_in(8) {
            let at = self.language.at_ms[self.dice.below(2)];
            let exact = format!("{}.{:03}", at / 1000, at % 1000);
            text += " @ ";
            text += self.dice.pick(&["start()", "end()", &exact]);
        }
        text
    }

    fn selector_with_modifiers(&mut self) -> String {
        let metric = self.metric();
        let extension = self.extension(metric);
        self.selector(metric) + extension + &self.modifiers()
    }

    /// Of floats: native histograms are left to the scripts.
    fn extension(&mut self, metric: &str) -> &'static str {
        let may_have = self.language.is_new && !NATIVE.contains(&metric);
        if may_have && self.dice.one_in(10) { " smoothed" } else { "" }
    }

    /// A range vector; of a counter if asked for.
    fn matrix(&mut self, depth: usize, metric: Option<&str>) -> String {
        const RANGES: &[&str] = &["1m", "90s", "2m30s", "5m", "10m", "47s", "16s"];
        let is_new = self.language.is_new && self.dice.one_in(6);
        let range = self.dice.pick(if is_new { NEW_RANGES } else { RANGES });
        if depth > 1 && self.subqueries < 2 && self.dice.one_in(3) {
            self.subqueries += 1;
            let inner = self.vector(depth - 2);
            self.subqueries -= 1;
            // The odd milliseconds keep a nested window's start off the steps inside.
            let range = self.dice.pick(&["300077ms", "150071ms", "613017ms"]);
            let is_new = self.language.is_new && self.dice.one_in(5);
            let steps = if is_new { ["max_of(step(), 30)", "1m / 3"] } else { ["30s", "17s"] };
            let step = self.dice.pick(&["", steps[0], "1m", steps[1]]);
            return format!("({inner})[{range}:{step}]{}", self.modifiers());
        }
        let metric = match metric {
            Some(metric) => metric.to_owned(),
            None => self.metric().to_owned(),
        };
        format!("{}[{range}]{}", self.selector(&metric), self.modifiers())
    }

    fn math(&mut self, depth: usize) -> String {
        let mut function = self.dice.pick(MATH);
        let inner = self.vector(depth - 1);
        if function == "timestamp" && inner.contains('@') && !self.language.is_new {
            // With `@` and an offset Prometheus 2.42 finds nothing.
            function = "abs";
        }
        match self.dice.below(10) {
            0 => format!("-({inner})"),
            1 => format!("+({inner})"),
            2 => format!("clamp({inner}, {}, {})", self.scalar(0), self.scalar(depth - 1)),
            3 => format!("clamp_max({inner}, {})", self.scalar(depth - 1)),
            4 => format!("clamp_min({inner}, {})", self.scalar(depth - 1)),
            5 => format!("round({inner}, {})", self.dice.pick(&["0.5", "5", "0.25"])),
            // Of stored values: what the date of NaN is depends on the processor.
            6 | 7 => format!("{}({})", self.dice.pick(DATE), self.selector_with_modifiers()),
            _ => format!("{function}({inner})"),
        }
    }

    fn over_range(&mut self, depth: usize) -> String {
        if self.dice.one_in(2) {
            let function = self.dice.pick(COUNTER_FUNCTIONS);
            let metric = self.dice.pick(COUNTERS);
            let depth = if self.language.is_new { depth } else { 0 };
            return format!("{function}({})", self.matrix(depth, Some(metric)));
        }
        if self.language.is_new && self.dice.one_in(5) {
            return self.over_extended_range();
        }
        let matrix = self.matrix(depth, None);
        match self.dice.below(8) {
            0 => format!(
                "quantile_over_time({}, {matrix})",
                self.dice.pick(&["0.5", "0.9", "1.2", "0"])
            ),
            // Prometheus 2.42 moves the window though `@` holds it.
            1 if self.language.is_new || !matrix.contains('@') => {
                format!("predict_linear({matrix}, {})", self.dice.pick(&["60", "-30", "3600"]))
            }
            2 => format!("absent_over_time({matrix})"),
            3 if self.language.is_new => {
                format!("double_exponential_smoothing({matrix}, 0.5, 0.25)")
            }
            4 if self.language.is_new => format!("{}({matrix})", self.dice.pick(NEW_OVER_TIME)),
            5 if self.language.is_new => format!("{}({matrix})", self.dice.pick(COUNTER_FUNCTIONS)),
            _ => format!("{}({matrix})", self.dice.pick(OVER_TIME)),
        }
    }

    /// Over samples around the window as well.
    fn over_extended_range(&mut self) -> String {
        let (extension, functions) =
            if self.dice.one_in(2) { ("anchored", ANCHORED) } else { ("smoothed", SMOOTHED) };
        // Now and then one that fails.
        let function = if self.dice.one_in(30) { "deriv" } else { self.dice.pick(functions) };
        let metric = match self.dice.below(6) {
            0..=2 => self.dice.pick(COUNTERS),
            3 | 4 => self.dice.pick(GAUGES),
            _ => BUCKETS,
        };
        let range = self.dice.pick(&["1m", "47s", "2m30s", "5m", "15s", "16s", "1m + step()"]);
        format!("{function}({}[{range}] {extension}{})", self.selector(metric), self.modifiers())
    }

    fn labels_list(&mut self) -> &'static str {
        const LISTS: &[&str] = &["job", "instance", "job, instance", "", "code", "le", "zone"];
        const NEW_LISTS: &[&str] = &["__name__", "__name__, job"];
        if self.language.is_new && self.dice.one_in(8) {
            self.dice.pick(NEW_LISTS)
        } else {
            self.dice.pick(LISTS)
        }
    }

    fn grouping(&mut self) -> String {
        match self.dice.below(4) {
            0 => String::new(),
            1 => format!("without ({}) ", self.labels_list()),
            _ => format!("by ({}) ", self.labels_list()),
        }
    }

    fn aggregation(&mut self, depth: usize) -> String {
        let grouping = self.grouping();
        match self.dice.below(12) {
            0 => {
                let (op, k) = (self.dice.pick(&["topk", "bottomk"]), self.dice.below(4));
                // Values that are seldom alike: which of them is chosen is nobody's promise.
                let only = self.dice.pick(&["", "{job=\"api\"}", "{instance!=\"b\"}"]);
                let input = format!("{}{only}{}", GAUGES[0], self.modifiers());
                format!("{op} {grouping}({k}, {input})")
            }
            1 => {
                let q = self.dice.pick(&["0.5", "0.9", "0", "1", "-1", "2"]);
                format!("quantile {grouping}({q}, {})", self.vector(depth - 1))
            }
            2 => format!(
                "count_values {grouping}(\"value\", round({}))",
                self.selector_with_modifiers()
            ),
            // Of finite values: of others Prometheus 2.42 has another opinion.
            3 => {
                let (op, input) = (self.dice.pick(&["stddev", "stdvar"]), self.dice.pick(GAUGES));
                format!("{op} {grouping}({input}{})", self.modifiers())
            }
            4 if self.language.is_new => {
                format!(
                    "{} {grouping}({})",
                    self.dice.pick(&["stddev", "stdvar"]),
                    self.vector(depth - 1)
                )
            }
            5 if self.language.is_new => {
                let k = self.dice.pick(&["2", "1", "5", "0", "-1"]);
                format!("limitk {grouping}({k}, {})", self.selector_with_modifiers())
            }
            6 if self.language.is_new => {
                let ratio = self.dice.pick(&["0.5", "-0.3", "1", "0"]);
                format!("limit_ratio {grouping}({ratio}, {})", self.selector_with_modifiers())
            }
            _ => format!("{} {grouping}({})", self.dice.pick(AGGREGATORS), self.vector(depth - 1)),
        }
    }

    fn binary(&mut self, depth: usize) -> String {
        let lhs = self.vector(depth - 1);
        match self.dice.below(8) {
            0 | 1 => {
                let operator = self.operator();
                let scalar = self.scalar(depth - 1);
                return if self.dice.one_in(3) {
                    format!("{scalar} {operator} ({lhs})")
                } else {
                    format!("({lhs}) {operator} {scalar}")
                };
            }
            2 | 3 => {
                let operator = self.dice.pick(&["and", "or", "unless"]);
                let (on, rhs) = (self.matching(), self.vector(depth - 1));
                return format!("({lhs}) {operator} {on}({rhs})");
            }
            4 => return self.join_with_target(depth),
            _ => {}
        }
        // Both sides grouped alike seldom fail to match.
        let (operator, list) = (self.operator(), self.labels_list());
        // Pairs that a comparison leaves out did not count as matches in Prometheus 2.42.
        let leaves_out = !self.language.is_new && COMPARISONS.contains(&operator.as_str());
        let between = if leaves_out { format!("{operator} bool") } else { operator.clone() };
        let (a, b) = (self.dice.pick(AGGREGATORS), self.dice.pick(AGGREGATORS));
        let rhs = self.vector(depth - 1);
        let fill = self.fill();
        match self.dice.below(3) {
            0 => format!("({lhs}) {between} {fill}({rhs})"),
            1 => format!("({lhs}) {between} {}{fill}({rhs})", self.matching()),
            _ => format!("{a} by ({list}) ({lhs}) {operator} {fill}{b} by ({list}) ({rhs})"),
        }
    }

    fn fill(&mut self) -> &'static str {
        const FILLS: &[&str] =
            &["fill(0) ", "fill_left(3) ", "fill_right(-1) ", "fill_right(2) fill_left(NaN) "];
        if self.language.is_new && self.dice.one_in(5) { self.dice.pick(FILLS) } else { "" }
    }

    fn operator(&mut self) -> String {
        match self.dice.below(8) {
            0 => self.dice.pick(COMPARISONS).to_owned(),
            1 => format!("{} bool", self.dice.pick(COMPARISONS)),
            2 if self.language.is_new => self.dice.pick(&["==", "!=", "== bool"]).to_owned(),
            3 if self.language.is_new => self.dice.pick(&["</", ">/", "atan2"]).to_owned(),
            _ => self.dice.pick(ARITHMETIC).to_owned(),
        }
    }

    fn matching(&mut self) -> String {
        match self.dice.below(3) {
            0 => String::new(),
            1 => format!("on ({}) ", self.dice.pick(&["instance", "job", "job, instance", ""])),
            _ => format!("ignoring ({}) ", self.dice.pick(&["code", "le", "zone, code", "job"])),
        }
    }

    fn join_with_target(&mut self, depth: usize) -> String {
        let many = self.vector(depth - 1);
        let include = self.dice.pick(&["", "zone", "zone, job"]);
        let operator = self.dice.pick(&["*", "+", "> bool", "/"]);
        let operator = if self.language.is_new && self.dice.one_in(4) { "<=" } else { operator };
        let fill = self.fill();
        if self.dice.one_in(2) {
            format!("({many}) {operator} on (instance) group_left ({include}) {fill}{TARGET}")
        } else {
            format!("{TARGET} {operator} on (instance) group_right ({include}) {fill}({many})")
        }
    }

    fn labels(&mut self, depth: usize) -> String {
        let inner = self.vector(depth - 1);
        if self.language.is_new && self.dice.one_in(3) {
            return format!("info({inner}{})", self.dice.pick(INFO));
        }
        match self.dice.below(4) {
            0 => format!("label_replace({inner}, \"host\", \"$1-x\", \"instance\", \"(.*)\")"),
            1 => format!("label_replace({inner}, \"job\", \"\", \"job\", \"w(.)b\")"),
            2 => format!("label_replace({inner}, \"zone\", \"${{1}}\", \"code\", \"(.).*\")"),
            _ => format!("label_join({inner}, \"both\", \"/\", \"job\", \"instance\")"),
        }
    }

    fn buckets(&mut self, depth: usize) -> String {
        let by = self.dice.pick(&["le", "le, job", "le, instance"]);
        let counts = format!("sum by ({by}) (rate({}))", self.matrix(1, Some(BUCKETS)));
        let q = self.dice.pick(&["0.9", "0.5", "0", "1", "1.1"]);
        if !self.language.is_new {
            return format!("histogram_quantile({q}, {counts})");
        }
        let native = self.dice.pick(NATIVE).to_owned();
        let input = match self.dice.below(4) {
            0 => counts,
            1 => self.selector(&native) + &self.modifiers(),
            2 => format!("rate({})", self.matrix(depth, Some(&native))),
            _ => format!("sum by (job) ({})", self.selector(&native)),
        };
        match self.dice.below(4) {
            0 => format!("histogram_quantile({q}, {input})"),
            1 => format!("histogram_fraction(0.5, 3, {input})"),
            _ => {
                let of = [
                    "histogram_count",
                    "histogram_sum",
                    "histogram_avg",
                    "histogram_stddev",
                    "histogram_stdvar",
                ];
                format!("{}({input})", self.dice.pick(&of))
            }
        }
    }

    fn other(&mut self, depth: usize) -> String {
        match self.dice.below(5) {
            0 => format!("absent({})", self.selector_with_modifiers()),
            1 => format!("vector({})", self.scalar(depth - 1)),
            2 => format!("sort({})", self.vector(depth - 1)),
            3 => format!("sort_desc({})", self.vector(depth - 1)),
            _ => format!("({})", self.vector(depth - 1)),
        }
    }

    fn scalar(&mut self, depth: usize) -> String {
        const NUMBERS: &[&str] =
            &["0", "1", "2.5", "-3", "0.125", "1e3", "Inf", "-Inf", "NaN", "17.77", "5", "-0.5"];
        if depth == 0 {
            return self.dice.pick(NUMBERS).to_owned();
        }
        match self.dice.below(6) {
            0 => format!("scalar({})", self.vector(depth - 1)),
            1 => "time()".to_owned(),
            2 => format!(
                "({} {} {})",
                self.scalar(depth - 1),
                self.dice.pick(ARITHMETIC),
                self.scalar(0)
            ),
            3 if self.language.is_new => self
                .dice
                .pick(&["start()", "end()", "step()", "range()", "max_of(2, 3)"])
                .to_owned(),
            4 => format!(
                "({} {} bool {})",
                self.scalar(depth - 1),
                self.dice.pick(COMPARISONS),
                self.scalar(0)
            ),
            _ => self.dice.pick(NUMBERS).to_owned(),
        }
    }
}
