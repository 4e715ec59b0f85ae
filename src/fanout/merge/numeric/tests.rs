use super::*;
use proptest::prelude::*;

/// The binary format of a decimal text, as `numeric_send` writes it.
pub(in crate::fanout::merge) fn encode(text: &str) -> Vec<u8> {
    let special = |sign: u16| [0, 0, 0, 0, (sign >> 8) as u8, sign as u8, 0, 0].to_vec();
    match text {
        "NaN" => return special(NAN),
        "Infinity" => return special(POSITIVE_INFINITY),
        "-Infinity" => return special(NEGATIVE_INFINITY),
        _ => {}
    }
    let (negative, text) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut padded = "0".repeat((4 - whole.len() % 4) % 4) + whole;
    let weight = (padded.len() / 4) as i16 - 1;
    padded += fraction;
    padded += &"0".repeat((4 - fraction.len() % 4) % 4);
    let digits: Vec<u16> = padded
        .as_bytes()
        .chunks(4)
        .map(|d| std::str::from_utf8(d).unwrap().parse().unwrap())
        .collect();
    let sign = if negative { NEGATIVE } else { POSITIVE };
    let mut out = (digits.len() as u16).to_be_bytes().to_vec();
    out.extend(weight.to_be_bytes());
    out.extend(sign.to_be_bytes());
    out.extend((fraction.len() as u16).to_be_bytes());
    out.extend(digits.iter().flat_map(|digit| digit.to_be_bytes()));
    out
}

/// The text of a binary value, as `numeric_out` writes it.
pub(in crate::fanout::merge) fn decode(bytes: &[u8]) -> String {
    let view = View::of(bytes).unwrap();
    match view.sign {
        NAN => return "NaN".into(),
        POSITIVE_INFINITY => return "Infinity".into(),
        NEGATIVE_INFINITY => return "-Infinity".into(),
        _ => {}
    }
    let digit = |at: i32| {
        let i = usize::try_from(view.weight - at).ok();
        i.and_then(|i| view.digits.get(i))
            .map_or(0, |d| u16::from_be_bytes(*d))
    };
    let whole: String = (0..=view.weight.max(0))
        .rev()
        .map(|at| format!("{:04}", digit(at)))
        .collect();
    let whole = whole.trim_start_matches('0');
    let scale = usize::from(view.scale);
    let fraction: String = (1..=scale.div_ceil(4) as i32)
        .map(|at| format!("{:04}", digit(-at)))
        .collect();
    let mut text = String::from(if view.sign == NEGATIVE { "-" } else { "" });
    text += if whole.is_empty() { "0" } else { whole };
    if scale > 0 {
        text += ".";
        text += &fraction[..scale];
    }
    text
}

fn add(texts: &[&str]) -> String {
    let bytes: Vec<_> = texts.iter().map(|text| encode(text)).collect();
    let mut sum = Sum::of(View::of(&bytes[0]).unwrap());
    for value in &bytes[1..] {
        sum.add(View::of(value).unwrap());
    }
    decode(&sum.encode().unwrap())
}

#[test]
fn sums_have_the_scale_of_the_most_precise_addend() {
    assert_eq!(add(&["1.5"]), "1.5");
    assert_eq!(add(&["0.00"]), "0.00");
    assert_eq!(add(&["1", "-1.000"]), "0.000");
    assert_eq!(add(&["9999.9999", "0.0001"]), "10000.0000");
    assert_eq!(add(&["10000", "-0.01"]), "9999.99");
    assert_eq!(add(&["-10000", "0.01"]), "-9999.99");
    assert_eq!(add(&["0.1", "0.2"]), "0.3");
    assert_eq!(add(&["99999999999999999999", "1"]), "100000000000000000000");
    assert_eq!(add(&["0.00000001", "100000000"]), "100000000.00000001");
    assert_eq!(add(&["5", "-3", "-2", "0.5"]), "0.5");
}

#[test]
fn sums_with_infinities_and_nan() {
    assert_eq!(add(&["1.25", "Infinity"]), "Infinity");
    assert_eq!(add(&["-Infinity", "1", "-Infinity"]), "-Infinity");
    assert_eq!(add(&["Infinity", "-Infinity"]), "NaN");
    assert_eq!(add(&["NaN", "1", "Infinity"]), "NaN");
}

#[test]
fn order() {
    let ascending = [
        "-Infinity",
        "-10000",
        "-9999.99",
        "-1.5",
        "-0.0001",
        "0",
        "0.00010",
        "0.001",
        "1",
        "1.0001",
        "9999",
        "10000",
        "10000.5",
        "Infinity",
        "NaN",
    ];
    let values = ascending.map(encode);
    for (i, a) in values.iter().enumerate() {
        for (j, b) in values.iter().enumerate() {
            let (a, b) = (View::of(a).unwrap(), View::of(b).unwrap());
            assert_eq!(a.cmp(&b), i.cmp(&j), "{} {}", ascending[i], ascending[j]);
        }
    }
}

#[test]
fn equal_values_of_different_scales_are_one() {
    let normal = |text| {
        let mut out = Vec::new();
        View::of(&encode(text)).unwrap().normal(&mut out);
        out
    };
    assert_eq!(normal("1.0"), normal("1.00000000"));
    assert_eq!(normal("0"), normal("0.000"));
    assert_eq!(normal("10000"), normal("0010000.0"));
    assert_ne!(normal("1"), normal("-1"));
    assert_ne!(normal("1"), normal("10000"));
    assert_eq!(
        View::of(&encode("1.0"))
            .unwrap()
            .cmp(&View::of(&encode("1.00")).unwrap()),
        Ordering::Equal
    );
}

#[test]
fn malformed_values_are_not_read() {
    let good = encode("12345.678");
    assert!(View::of(&good).is_some());
    assert!(View::of(&good[..good.len() - 1]).is_none());
    assert!(View::of(&good[..7]).is_none());
    let mut sign = good.clone();
    sign[4] = 0x80;
    assert!(View::of(&sign).is_none());
    let mut digit = good.clone();
    (digit[8], digit[9]) = (0x27, 0x10);
    assert!(View::of(&digit).is_none());
}

#[test]
fn a_sum_past_numerics_range_overflows() {
    let mut largest = vec![0, 1];
    largest.extend(i16::MAX.to_be_bytes());
    largest.extend([0, 0, 0, 0, 0x27, 0x0f]);
    let view = View::of(&largest).unwrap();
    let mut sum = Sum::of(view);
    assert!(sum.encode().is_ok());
    sum.add(view);
    assert_eq!(sum.encode(), Err(Overflow));
}

proptest! {
    #[test]
    fn sums_and_order_are_those_of_integers(
        values in prop::collection::vec((any::<i64>(), 0_u32..9), 1..8)
    ) {
        // Every value as an integer of 10^-8.
        let texts: Vec<String> = values.iter().map(|(n, scale)| {
            let sign = if *n < 0 { "-" } else { "" };
            let digits = format!("{:0width$}", n.unsigned_abs(), width = *scale as usize + 1);
            let (whole, fraction) = digits.split_at(digits.len() - *scale as usize);
            if *scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
        }).collect();
        let exact = |(n, scale): &(i64, u32)| i128::from(*n) * 10_i128.pow(8 - scale);
        let total: i128 = values.iter().map(exact).sum();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let scale = values.iter().map(|(_, scale)| *scale).max().unwrap_or(0);
        let rounded = total / 10_i128.pow(8 - scale);
        let sign = if rounded < 0 { "-" } else { "" };
        let digits = format!("{:0width$}", rounded.unsigned_abs(), width = scale as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
        let expected = if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
        prop_assert_eq!(add(&texts), expected);
        for (a, x) in values.iter().zip(&texts) {
            for (b, y) in values.iter().zip(&texts) {
                let (x, y) = (encode(x), encode(y));
                let order = View::of(&x).unwrap().cmp(&View::of(&y).unwrap());
                prop_assert_eq!(order, exact(a).cmp(&exact(b)));
            }
        }
    }
}
