//! Which set of options is best: no I/O.

use super::Measured;

/// How much slower than without options a shape may be, as noise.
const NOISE: f64 = 1.25;

/// What a measurement may be off by, in milliseconds.
const JITTER: f64 = 1.0;

/// What a shape that was given up weighs: as if it took twenty thousand times as long as under
/// another set.
const GIVEN_UP: f64 = 10.0;

/// Of the sets that make no shape worse than the first one, the one that is nearest to the best in
/// every shape, by the geometric mean. The first one, if there is none.
pub(super) fn best<'a>(measured: &[Measured], sets: &[&'a str]) -> &'a str {
    let Some((first, _)) = sets.split_first() else {
        return "";
    };
    let shapes = || measured.iter().filter(|m| m.options == *first);
    let of = |shape: &str, set: &str| {
        let found = measured
            .iter()
            .find(|m| m.shape == shape && m.options == set);
        found.and_then(|m| m.milliseconds)
    };
    let mut best: (&str, f64) = (first, f64::INFINITY);
    for set in sets {
        let mut score = 0.0;
        let mut fits = true;
        for shape in shapes() {
            let fastest = sets
                .iter()
                .filter_map(|set| of(shape.shape, set))
                .fold(f64::INFINITY, f64::min);
            match (of(shape.shape, set), shape.milliseconds) {
                (Some(own), Some(plain)) => {
                    fits &= own <= plain * NOISE + JITTER;
                    score += ((own + JITTER) / (fastest + JITTER)).ln();
                }
                (Some(own), None) => score += ((own + JITTER) / (fastest + JITTER)).ln(),
                (None, Some(_)) => fits = false,
                (None, None) if fastest.is_finite() => score += GIVEN_UP,
                // Too slow under all.
                (None, None) => {}
            }
        }
        if fits && score < best.1 {
            best = (set, score);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(table: &[(&'static str, &'static str, Option<f64>)]) -> Vec<Measured> {
        let rows = table.iter();
        rows.map(|(options, shape, milliseconds)| Measured {
            shape,
            options,
            milliseconds: *milliseconds,
            asynchronous: false,
            pushed: false,
        })
        .collect()
    }

    #[test]
    fn no_shape_may_be_worse_than_without_options() {
        // The figures of facts: tuned for aggregates, a top 100 is thirty times slower.
        let figures = measured(&[
            ("none", "aggregate", Some(2400.0)),
            ("none", "top", Some(7.0)),
            ("async", "aggregate", Some(1500.0)),
            ("async", "top", Some(7.5)),
            ("tuned", "aggregate", Some(850.0)),
            ("tuned", "top", Some(215.0)),
        ]);
        assert_eq!(best(&figures, &["none", "async", "tuned"]), "async");
        assert_eq!(best(&figures, &["none", "tuned"]), "none");
    }

    #[test]
    fn what_is_given_up_is_worse_than_what_is_not() {
        let figures = measured(&[
            ("none", "drain", Some(900.0)),
            ("async", "drain", None),
            ("other", "drain", Some(800.0)),
        ]);
        assert_eq!(best(&figures, &["none", "async", "other"]), "other");
        let figures = measured(&[("none", "drain", None), ("async", "drain", Some(9.0))]);
        assert_eq!(best(&figures, &["none", "async"]), "async");
    }
}
