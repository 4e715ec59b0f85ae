//! Values from their binary form: only what a comparison looks into.

use std::cmp::Ordering;

use super::Raw;

/// A cell for people.
pub(super) fn show(cell: Option<&Raw>, ty: &str) -> String {
    let Some(Raw(bytes)) = cell else {
        return "NULL".to_owned();
    };
    let shown = match base(ty) {
        "bool" => bytes.first().map(|b| (*b != 0).to_string()),
        "int2" => <[u8; 2]>::try_from(&bytes[..])
            .ok()
            .map(|b| i16::from_be_bytes(b).to_string()),
        "int4" | "oid" => <[u8; 4]>::try_from(&bytes[..])
            .ok()
            .map(|b| i32::from_be_bytes(b).to_string()),
        "int8" => <[u8; 8]>::try_from(&bytes[..])
            .ok()
            .map(|b| i64::from_be_bytes(b).to_string()),
        "float4" | "float8" => float(bytes).map(|v| format!("{v:?}")),
        "numeric" => numeric(bytes),
        "text" | "varchar" | "bpchar" | "name" | "json" | "unknown" => std::str::from_utf8(bytes)
            .ok()
            .map(|text| format!("{text:?}")),
        "jsonb" => std::str::from_utf8(&bytes[1..]).ok().map(str::to_owned),
        "uuid" => uuid::Uuid::from_slice(bytes).ok().map(|id| id.to_string()),
        _ => None,
    };
    shown.unwrap_or_else(|| {
        bytes
            .iter()
            .map(|byte| match byte {
                b' '..=b'~' => char::from(*byte).to_string(),
                byte => format!("\\{byte:02x}"),
            })
            .collect()
    })
}

/// A type's name without its number.
pub(super) fn base(ty: &str) -> &str {
    ty.split('=').next().unwrap_or(ty)
}

pub(super) fn float(bytes: &[u8]) -> Option<f64> {
    match bytes.len() {
        4 => Some(f64::from(f32::from_be_bytes(bytes.try_into().ok()?))),
        8 => Some(f64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}

/// Base-10000 digits, the weight of the first, the sign, and the digits after the point.
fn parts(bytes: &[u8]) -> Option<(Vec<u16>, i16, u16, u16)> {
    let words: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    let [_, weight, sign, scale, digits @ ..] = &words[..] else {
        return None;
    };
    Some((digits.to_vec(), *weight as i16, *sign, *scale))
}

/// A numeric as text, with its scale.
pub(super) fn numeric(bytes: &[u8]) -> Option<String> {
    let (digits, weight, sign, scale) = parts(bytes)?;
    let mut text = match sign {
        0 => String::new(),
        0x4000 => "-".to_owned(),
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let digit = |at: i32| -> u16 {
        usize::try_from(i32::from(weight) - at)
            .ok()
            .and_then(|i| digits.get(i).copied())
            .unwrap_or(0)
    };
    let mut whole = String::new();
    for at in (0..=i32::from(weight).max(0)).rev() {
        whole += &format!("{:04}", digit(at));
    }
    let whole = whole.trim_start_matches('0');
    text += if whole.is_empty() { "0" } else { whole };
    if scale > 0 {
        let mut fraction = String::new();
        let mut at = -1;
        while fraction.len() < usize::from(scale) {
            fraction += &format!("{:04}", digit(at));
            at -= 1;
        }
        fraction.truncate(usize::from(scale));
        text = format!("{text}.{fraction}");
    }
    Some(text)
}

/// A numeric's value without its scale: equal values, equal bytes.
pub(super) fn numeric_value(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = numeric(bytes)?;
    let text = match text.split_once('.') {
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() {
                whole.to_owned()
            } else {
                format!("{whole}.{fraction}")
            }
        }
        None => text,
    };
    Some(if text == "-0" {
        b"0".to_vec()
    } else {
        text.into_bytes()
    })
}

/// Whether two floats are within 1e-12 of each other. NaN equals NaN; zero has one sign here.
pub(super) fn close(a: f64, b: f64) -> bool {
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    a == b || (a.is_finite() && b.is_finite() && (a - b).abs() <= 1e-12 * a.abs().max(b.abs()))
}

/// Floats in PostgreSQL's order.
pub(super) fn order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// A one-dimensional array's elements, or `None` if these bytes are none.
pub(super) fn elements(bytes: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let word = |at: usize| -> Option<i32> {
        Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    match word(0)? {
        0 => return Some(Vec::new()),
        1 => {}
        _ => return None,
    }
    let mut at = 20;
    let mut out = Vec::new();
    for _ in 0..word(12)? {
        let length = word(at)?;
        at += 4;
        out.push(match usize::try_from(length) {
            Err(_) => None,
            Ok(length) => {
                let element = bytes.get(at..at + length)?.to_vec();
                at += length;
                Some(element)
            }
        });
    }
    (at == bytes.len()).then_some(out)
}

/// An array's bytes without the number of its elements' type and without the flag that says whether
/// there are NULLs, which servers need not agree on.
pub(super) fn without_oid(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= 12 {
        let oid = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        if oid >= 16384 {
            bytes[8..12].fill(0);
        }
    }
    bytes
}
