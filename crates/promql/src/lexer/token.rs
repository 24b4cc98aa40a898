//! The tokens of PromQL, of selectors and of series descriptions.

use model::CounterResetHint;

use crate::ast::{AggregateOp, BinaryOp};
use crate::position::PositionRange;

/// A token and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) pos: PositionRange,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Eof,
    /// `=`
    Eql,
    Comma,
    Colon,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Number,
    Duration,
    String,
    Identifier,
    /// An identifier with a colon.
    MetricIdentifier,
    /// `@`
    At,
    /// `=~`
    EqlRegex,
    /// `!~`
    NeqRegex,
    /// A binary operator; `!=` also compares labels and `+ -` are also signs.
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
    /// Blank space between the values of a series description.
    Space,
    /// `_` for an omitted value.
    Blank,
    /// `x`, repeats a value.
    Times,
    /// `{{`
    OpenHistogram,
    /// `}}`
    CloseHistogram,
    HistogramKey(HistogramKey),
    ResetHint(CounterResetHint),
}

/// Words that are no operators and no aggregations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    Bool,
    By,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Ignoring,
    Offset,
    Smoothed,
    Anchored,
    On,
    Without,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

impl Keyword {
    /// Names a function, not a modifier: `start()`.
    pub(crate) fn is_function(self) -> bool {
        use Keyword as K;
        matches!(self, K::Start | K::End | K::Step | K::Range | K::MaxOf | K::MinOf)
    }
}

/// The keys of a histogram literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HistogramKey {
    Sum,
    Count,
    Schema,
    Offset,
    NegativeOffset,
    Buckets,
    NegativeBuckets,
    ZeroBucket,
    ZeroBucketWidth,
    CustomValues,
    CounterResetHint,
}

impl HistogramKey {
    const ALL: [(&'static str, Self); 11] = [
        ("sum", Self::Sum),
        ("count", Self::Count),
        ("schema", Self::Schema),
        ("offset", Self::Offset),
        ("n_offset", Self::NegativeOffset),
        ("buckets", Self::Buckets),
        ("n_buckets", Self::NegativeBuckets),
        ("z_bucket", Self::ZeroBucket),
        ("z_bucket_w", Self::ZeroBucketWidth),
        ("custom_values", Self::CustomValues),
        ("counter_reset_hint", Self::CounterResetHint),
    ];

    /// The key of this lower-case word.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, key)| *key)
    }

    /// The word.
    pub(crate) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, key)| *key == self).map_or("", |(name, _)| name)
    }
}

/// The hint of this lower-case word.
pub(crate) fn reset_hint_from_word(word: &str) -> Option<CounterResetHint> {
    Some(match word {
        "unknown" => CounterResetHint::Unknown,
        "reset" => CounterResetHint::CounterReset,
        "not_reset" => CounterResetHint::NotCounterReset,
        "gauge" => CounterResetHint::Gauge,
        _ => return None,
    })
}

/// The keyword, operator, aggregation or number of this lower-case word.
pub(crate) fn keyword_from_word(word: &str) -> Option<TokenKind> {
    let keyword = match word {
        "and" => return Some(TokenKind::Op(BinaryOp::And)),
        "or" => return Some(TokenKind::Op(BinaryOp::Or)),
        "unless" => return Some(TokenKind::Op(BinaryOp::Unless)),
        "atan2" => return Some(TokenKind::Op(BinaryOp::Atan2)),
        "inf" | "nan" => return Some(TokenKind::Number),
        "bool" => Keyword::Bool,
        "by" => Keyword::By,
        "group_left" => Keyword::GroupLeft,
        "group_right" => Keyword::GroupRight,
        "fill" => Keyword::Fill,
        "fill_left" => Keyword::FillLeft,
        "fill_right" => Keyword::FillRight,
        "ignoring" => Keyword::Ignoring,
        "offset" => Keyword::Offset,
        "smoothed" => Keyword::Smoothed,
        "anchored" => Keyword::Anchored,
        "on" => Keyword::On,
        "without" => Keyword::Without,
        "start" => Keyword::Start,
        "end" => Keyword::End,
        "step" => Keyword::Step,
        "range" => Keyword::Range,
        "max_of" => Keyword::MaxOf,
        "min_of" => Keyword::MinOf,
        _ => {
            let op = AggregateOp::ALL.into_iter().find(|op| op.name() == word)?;
            return Some(TokenKind::Aggregate(op));
        }
    };
    Some(TokenKind::Keyword(keyword))
}
