//! Functions of a time in Unix seconds: `hour`, `day_of_week`, …, in UTC.

use model::Labels;

use super::CallContext;
use super::args::Args;
use super::math::map_floats;
use crate::engine::QueryError;
use crate::engine::batch::{SeriesBatch, SeriesHead};
use crate::engine::operand::{Operand, ScalarColumn, unexpected};
use crate::engine::stream::VectorStream;

pub(super) fn call(call: &CallContext<'_>, args: &mut Args) -> Result<Operand, QueryError> {
    let function = function(call.name).ok_or_else(|| unexpected("a date function"))?;
    if args.len() > 0 {
        return map_floats(args.vector(0)?, function, call.cx);
    }
    let times = (0..call.grid.count).map(|step| call.grid.time(step).div_euclid(1000));
    let values = times.map(|seconds| function(as_float(seconds)));
    let values = ScalarColumn::steps(values, call.cx)?.into_steps(call.grid.count);
    let mut batch = SeriesBatch::single(SeriesHead::new(Labels::empty()), values);
    call.cx.hold(&mut batch)?;
    Ok(Operand::Vector(VectorStream::of(batch).with_unique_series(true)))
}

fn function(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "days_in_month" => |v| as_float(days_in_month(CivilTime::at(v))),
        "day_of_month" => |v| as_float(CivilTime::at(v).day),
        "day_of_week" => |v| as_float((CivilTime::at(v).days_since_epoch + 4).rem_euclid(7)),
        "day_of_year" => |v| as_float(day_of_year(CivilTime::at(v))),
        "hour" => |v| as_float(CivilTime::at(v).second_of_day / 3600),
        "minute" => |v| as_float(CivilTime::at(v).second_of_day / 60 % 60),
        "month" => |v| as_float(CivilTime::at(v).month),
        "year" => |v| as_float(CivilTime::at(v).year),
        _ => return None,
    })
}

#[expect(clippy::cast_precision_loss, reason = "parts of a date are small")]
fn as_float(value: i64) -> f64 {
    value as f64
}

/// A moment in the proleptic Gregorian calendar, UTC. Any number of seconds has one.
#[derive(Debug, Clone, Copy)]
struct CivilTime {
    days_since_epoch: i64,
    second_of_day: i64,
    year: i64,
    month: i64,
    day: i64,
}

impl CivilTime {
    /// The fraction of a second goes; NaN and what is out of range become the nearest number.
    #[expect(clippy::cast_possible_truncation, reason = "saturates, which is what is wanted")]
    fn at(seconds: f64) -> Self {
        let seconds = seconds as i64;
        let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        Self { days_since_epoch: days, second_of_day, year, month, day }
    }
}

/// Year, month and day of a number of days since 1970-01-01. Counts in eras of 400 years that
/// begin on 1 March, so that the leap day ends a year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    const DAYS_TO_EPOCH: i64 = 719_468;
    const DAYS_OF_ERA: i64 = 146_097;
    let days = days + DAYS_TO_EPOCH;
    let era = days.div_euclid(DAYS_OF_ERA);
    let day_of_era = days.rem_euclid(DAYS_OF_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

fn month_lengths(year: i64) -> [i64; 12] {
    let february = if is_leap(year) { 29 } else { 28 };
    [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

fn days_in_month(time: CivilTime) -> i64 {
    let index = usize::try_from(time.month - 1).unwrap_or(0);
    month_lengths(time.year)[index]
}

fn day_of_year(time: CivilTime) -> i64 {
    let months_before = usize::try_from(time.month - 1).unwrap_or(0);
    month_lengths(time.year)[..months_before].iter().sum::<i64>() + time.day
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(seconds: f64) -> [f64; 8] {
        let names = [
            "year",
            "month",
            "day_of_month",
            "day_of_week",
            "day_of_year",
            "days_in_month",
            "hour",
            "minute",
        ];
        names.map(|name| function(name).unwrap()(seconds))
    }

    /// Against jiff's calendar.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for seconds in (-4_000_000_000_i64..8_000_000_000).step_by(7_654_321) {
            let time = jiff::Timestamp::from_second(seconds).unwrap();
            let zoned = time.to_zoned(jiff::tz::TimeZone::UTC);
            let want = [
                f64::from(zoned.year()),
                f64::from(zoned.month()),
                f64::from(zoned.day()),
                f64::from(zoned.weekday().to_sunday_zero_offset()),
                f64::from(zoned.day_of_year()),
                f64::from(zoned.days_in_month()),
                f64::from(zoned.hour()),
                f64::from(zoned.minute()),
            ];
            assert_eq!(parts(as_float(seconds)), want, "{seconds}");
        }
    }

    #[test]
    fn any_number_has_a_date() {
        for seconds in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, 1e18] {
            assert!((1.0..=12.0).contains(&parts(seconds)[1]), "{seconds}");
        }
    }
}
