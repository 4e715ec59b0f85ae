//! PostgreSQL's `numeric`, exactly: its binary format, order and addition.
//!
//! A value is a number in base 10,000: digits, the first of which is worth 10,000^weight; a sign;
//! and a display scale, which a sum takes from its most precise addend, as PostgreSQL's does.

use std::cmp::Ordering;

const BASE: u16 = 10_000;
const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const POSITIVE_INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// A value in the binary format, checked but not copied. It orders as PostgreSQL does.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    sign: u16,
    weight: i32,
    scale: u16,
    /// Two bytes each, without zeros at either end.
    digits: &'a [[u8; 2]],
}

impl<'a> View<'a> {
    /// The value of its binary format; `None` if it is malformed.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let (&[n0, n1, w0, w1, s0, s1, d0, d1], rest) = bytes.split_first_chunk::<8>()?;
        let (mut digits, []) = rest.as_chunks::<2>() else {
            return None;
        };
        let sign = u16::from_be_bytes([s0, s1]);
        let mut weight = i32::from(i16::from_be_bytes([w0, w1]));
        let known = [
            POSITIVE,
            NEGATIVE,
            NAN,
            POSITIVE_INFINITY,
            NEGATIVE_INFINITY,
        ];
        if digits.len() != usize::from(u16::from_be_bytes([n0, n1]))
            || digits
                .iter()
                .any(|digit| u16::from_be_bytes(*digit) >= BASE)
            || !known.contains(&sign)
        {
            return None;
        }
        while let Some(([0, 0], less)) = digits.split_first() {
            digits = less;
            weight -= 1;
        }
        while let Some(([0, 0], less)) = digits.split_last() {
            digits = less;
        }
        Some(View {
            sign,
            weight: if digits.is_empty() { 0 } else { weight },
            scale: u16::from_be_bytes([d0, d1]),
            digits,
        })
    }

    /// Bytes that are equal exactly for equal values: 1.0 and 1.00 are equal.
    pub(super) fn normal(&self, out: &mut Vec<u8>) {
        let sign = if self.is_zero() { POSITIVE } else { self.sign };
        out.extend(sign.to_be_bytes());
        out.extend(self.weight.to_be_bytes());
        out.extend(self.digits.as_flattened());
    }

    fn is_zero(&self) -> bool {
        self.is_finite() && self.digits.is_empty()
    }

    fn is_finite(&self) -> bool {
        matches!(self.sign, POSITIVE | NEGATIVE)
    }

    /// -∞ < finite < ∞ < NaN.
    fn class(&self) -> u8 {
        match self.sign {
            NEGATIVE_INFINITY => 0,
            POSITIVE_INFINITY => 2,
            NAN => 3,
            _ => 1,
        }
    }

    fn signum(&self) -> i8 {
        match (self.digits.is_empty(), self.sign) {
            (true, _) => 0,
            (false, NEGATIVE) => -1,
            _ => 1,
        }
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        self.weight
            .cmp(&other.weight)
            .then_with(|| self.digits.cmp(other.digits))
    }

    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        let classes = self.class().cmp(&other.class());
        if classes != Ordering::Equal || !self.is_finite() {
            return classes;
        }
        self.signum()
            .cmp(&other.signum())
            .then_with(|| match self.signum() {
                0 => Ordering::Equal,
                1 => self.magnitude(other),
                _ => other.magnitude(self),
            })
    }
}

/// The value has more digits than PostgreSQL's numeric can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

/// A sum of numeric values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    sign: u16,
    /// The weight of the *last* digit.
    low: i32,
    /// The last digit first, without zeros at either end.
    digits: Vec<u16>,
    scale: u16,
}

impl Sum {
    /// The sum of one value.
    pub(super) fn of(value: View<'_>) -> Self {
        let mut digits: Vec<u16> = value
            .digits
            .iter()
            .map(|d| u16::from_be_bytes(*d))
            .collect();
        digits.reverse();
        Sum {
            sign: if value.is_zero() {
                POSITIVE
            } else {
                value.sign
            },
            // At most 65,535 digits.
            low: value.weight + 1 - digits.len() as i32,
            digits,
            scale: if value.is_finite() { value.scale } else { 0 },
        }
    }

    /// Adds a value. ∞ and -∞ make NaN.
    pub(super) fn add(&mut self, value: View<'_>) {
        let other = Sum::of(value);
        let finite = |sign| matches!(sign, POSITIVE | NEGATIVE);
        match (finite(self.sign), finite(other.sign)) {
            (true, true) => self.add_finite(&other),
            (true, false) => *self = other,
            (false, true) => {}
            (false, false) if self.sign == other.sign => {}
            (false, false) => self.sign = NAN,
        }
    }

    fn add_finite(&mut self, other: &Sum) {
        let scale = self.scale.max(other.scale);
        let (larger, smaller) = match self.magnitude(other) {
            Ordering::Less => (other, &*self),
            _ => (&*self, other),
        };
        let subtract = larger.sign != smaller.sign;
        let low = larger.low.min(smaller.low);
        let high = larger.high().max(smaller.high());
        let mut digits = Vec::with_capacity((high - low + 1).max(0) as usize);
        let mut carry = 0;
        for at in low..high {
            let (a, b) = (i32::from(larger.digit(at)), i32::from(smaller.digit(at)));
            let sum = carry + if subtract { a - b } else { a + b };
            carry = sum.div_euclid(BASE.into());
            // A remainder by BASE is less than it.
            digits.push(sum.rem_euclid(BASE.into()) as u16);
        }
        if carry > 0 {
            digits.push(carry as u16);
        }
        let sign = larger.sign;
        *self = Sum {
            sign,
            low,
            digits,
            scale,
        };
        self.strip();
    }

    fn strip(&mut self) {
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        let zeros = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..zeros);
        self.low += zeros as i32;
        if self.digits.is_empty() {
            self.sign = POSITIVE;
            self.low = 0;
        }
    }

    fn high(&self) -> i32 {
        self.low + self.digits.len() as i32
    }

    fn digit(&self, at: i32) -> u16 {
        let index = usize::try_from(at - self.low).ok();
        index.and_then(|i| self.digits.get(i)).copied().unwrap_or(0)
    }

    fn magnitude(&self, other: &Sum) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (false, false) => self
                .high()
                .cmp(&other.high())
                .then_with(|| self.digits.iter().rev().cmp(other.digits.iter().rev())),
            (a_is_zero, b_is_zero) => b_is_zero.cmp(&a_is_zero),
        }
    }

    /// The binary format.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Overflow> {
        let length = u16::try_from(self.digits.len()).map_err(|_| Overflow)?;
        let weight = if self.digits.is_empty() {
            0
        } else {
            i16::try_from(self.high() - 1).map_err(|_| Overflow)?
        };
        let mut out = Vec::with_capacity(8 + 2 * self.digits.len());
        out.extend(length.to_be_bytes());
        out.extend(weight.to_be_bytes());
        out.extend(self.sign.to_be_bytes());
        out.extend(self.scale.to_be_bytes());
        out.extend(
            self.digits
                .iter()
                .rev()
                .flat_map(|digit| digit.to_be_bytes()),
        );
        Ok(out)
    }
}

#[cfg(test)]
pub(super) mod tests;
