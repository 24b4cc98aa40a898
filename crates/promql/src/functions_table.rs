//! Names and signatures of PromQL's functions.
//!
//! The parser checks calls against this table and the engine finds its implementations by name.
//! What the functions do stands elsewhere.

use crate::ast::ValueType;

/// A function's name, parameters and result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionSignature {
    /// The name; case matters.
    pub name: &'static str,
    /// Types of the arguments. With `variadic` the last one may be left out or repeated.
    pub arg_types: &'static [ValueType],
    /// 0: exactly `arg_types`. n > 0: from one argument less up to `n - 1` more than `arg_types`.
    /// -1: from one argument less up to any number.
    pub variadic: i32,
    /// Type of the result.
    pub return_type: ValueType,
    /// Only with [`crate::parser::ParserOptions::enable_experimental_functions`].
    pub experimental: bool,
}

impl FunctionSignature {
    const fn variadic(mut self, variadic: i32) -> Self {
        self.variadic = variadic;
        self
    }

    const fn experimental(mut self) -> Self {
        self.experimental = true;
        self
    }

    /// The type of the argument at `index`, counted from zero; `None` if there is no such one.
    #[must_use]
    pub fn arg_type(&self, index: usize) -> Option<ValueType> {
        let repeated = || (self.variadic != 0).then(|| self.arg_types.last()).flatten();
        self.arg_types.get(index).or_else(repeated).copied()
    }
}

const fn row(
    name: &'static str,
    arg_types: &'static [ValueType],
    return_type: ValueType,
) -> FunctionSignature {
    FunctionSignature { name, arg_types, variadic: 0, return_type, experimental: false }
}

const M: ValueType = ValueType::Matrix;
const S: ValueType = ValueType::Scalar;
const T: ValueType = ValueType::String;
const V: ValueType = ValueType::Vector;

/// The function of this name.
#[must_use]
pub fn lookup(name: &str) -> Option<&'static FunctionSignature> {
    let found = FUNCTIONS.binary_search_by(|function| function.name.cmp(name));
    found.ok().map(|index| &FUNCTIONS[index])
}

/// Every function, sorted by name.
#[rustfmt::skip]
pub static FUNCTIONS: [FunctionSignature; 90] = [
    row("abs", &[V], V),
    row("absent", &[V], V),
    row("absent_over_time", &[M], V),
    row("acos", &[V], V),
    row("acosh", &[V], V),
    row("asin", &[V], V),
    row("asinh", &[V], V),
    row("atan", &[V], V),
    row("atanh", &[V], V),
    row("avg_over_time", &[M], V),
    row("ceil", &[V], V),
    row("changes", &[M], V),
    row("clamp", &[V, S, S], V),
    row("clamp_max", &[V, S], V),
    row("clamp_min", &[V, S], V),
    row("cos", &[V], V),
    row("cosh", &[V], V),
    row("count_over_time", &[M], V),
    row("day_of_month", &[V], V).variadic(1),
    row("day_of_week", &[V], V).variadic(1),
    row("day_of_year", &[V], V).variadic(1),
    row("days_in_month", &[V], V).variadic(1),
    row("deg", &[V], V),
    row("delta", &[M], V),
    row("deriv", &[M], V),
    row("double_exponential_smoothing", &[M, S, S], V).experimental(),
    row("end", &[], S).experimental(),
    row("exp", &[V], V),
    row("first_over_time", &[M], V),
    row("floor", &[V], V),
    row("histogram_avg", &[V], V),
    row("histogram_count", &[V], V),
    row("histogram_fraction", &[S, S, V], V),
    row("histogram_quantile", &[S, V], V),
    row("histogram_quantiles", &[V, T, S, S], V).variadic(9).experimental(),
    row("histogram_stddev", &[V], V),
    row("histogram_stdvar", &[V], V),
    row("histogram_sum", &[V], V),
    row("hour", &[V], V).variadic(1),
    row("idelta", &[M], V),
    row("increase", &[M], V),
    row("info", &[V, V], V).variadic(1).experimental(),
    row("irate", &[M], V),
    row("label_join", &[V, T, T, T], V).variadic(-1),
    row("label_replace", &[V, T, T, T, T], V),
    row("last_over_time", &[M], V),
    row("ln", &[V], V),
    row("log10", &[V], V),
    row("log2", &[V], V),
    row("mad_over_time", &[M], V).experimental(),
    row("max_of", &[S, S], S).experimental(),
    row("max_over_time", &[M], V),
    row("min_of", &[S, S], S).experimental(),
    row("min_over_time", &[M], V),
    row("minute", &[V], V).variadic(1),
    row("month", &[V], V).variadic(1),
    row("pi", &[], S),
    row("predict_linear", &[M, S], V),
    row("present_over_time", &[M], V),
    row("quantile_over_time", &[S, M], V),
    row("rad", &[V], V),
    row("range", &[], S).experimental(),
    row("rate", &[M], V),
    row("resets", &[M], V),
    row("round", &[V, S], V).variadic(1),
    row("scalar", &[V], S),
    row("sgn", &[V], V),
    row("sin", &[V], V),
    row("sinh", &[V], V),
    row("sort", &[V], V),
    row("sort_by_label", &[V, T], V).variadic(-1).experimental(),
    row("sort_by_label_desc", &[V, T], V).variadic(-1).experimental(),
    row("sort_desc", &[V], V),
    row("sqrt", &[V], V),
    row("start", &[], S).experimental(),
    row("start_timestamp", &[V], V).experimental(),
    row("stddev_over_time", &[M], V),
    row("stdvar_over_time", &[M], V),
    row("step", &[], S).experimental(),
    row("sum_over_time", &[M], V),
    row("tan", &[V], V),
    row("tanh", &[V], V),
    row("time", &[], S),
    row("timestamp", &[V], V),
    row("ts_of_first_over_time", &[M], V).experimental(),
    row("ts_of_last_over_time", &[M], V).experimental(),
    row("ts_of_max_over_time", &[M], V).experimental(),
    row("ts_of_min_over_time", &[M], V).experimental(),
    row("vector", &[S], V),
    row("year", &[V], V).variadic(1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_has_17_experimental_functions() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(FUNCTIONS.iter().filter(|function| function.experimental).count(), 17);
    }

    #[test]
    fn lookup_minds_case_and_variadic_arguments_repeat_the_last_type() {
        assert!(lookup("Rate").is_none());
        let join = lookup("label_join").unwrap();
        assert_eq!(join.arg_type(0), Some(V));
        assert_eq!(join.arg_type(17), Some(T));
        assert_eq!(lookup("rate").unwrap().arg_type(1), None);
    }
}
