//! What was acknowledged since the monitor last looked.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::{Lsn, ReignId};

/// The highest position acknowledged in each reign: one reign mostly, and two when a late answer of
/// the old primary meets the first of the new.
#[derive(Debug, Default)]
pub(super) struct Acknowledged(Mutex<Vec<(ReignId, Lsn)>>);

impl Acknowledged {
    pub(super) fn note(&self, reign: ReignId, lsn: Lsn) {
        let mut highest = self.lock();
        match highest.iter_mut().find(|(known, _)| *known == reign) {
            Some((_, known)) => *known = lsn.max(*known),
            None => highest.push((reign, lsn)),
        }
    }

    /// Takes out all there is.
    pub(super) fn take(&self, mut each: impl FnMut(ReignId, Lsn)) {
        for (reign, lsn) in self.lock().drain(..) {
            each(reign, lsn);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(ReignId, Lsn)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn no_reign_pushes_another_out() {
        let (old, new) = (ReignId(Uuid::from_u128(1)), ReignId(Uuid::from_u128(2)));
        let acknowledged = Acknowledged::default();
        acknowledged.note(old, Lsn(7));
        acknowledged.note(new, Lsn(3));
        acknowledged.note(old, Lsn(5));
        let mut taken = Vec::new();
        acknowledged.take(|reign, lsn| taken.push((reign, lsn)));
        assert_eq!(taken, [(old, Lsn(7)), (new, Lsn(3))]);
        acknowledged.take(|reign, _| panic!("{reign} was taken already"));
    }
}
