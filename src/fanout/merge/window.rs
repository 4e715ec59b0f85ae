//! LIMIT and OFFSET of a merged answer.

/// Counts the rows of a merged answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    skip: u64,
    left: Option<u64>,
}

impl Window {
    pub(super) fn new(offset: u64, limit: Option<u64>) -> Self {
        Window {
            skip: offset,
            left: limit,
        }
    }

    /// Whether the answer is complete.
    pub(crate) fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// Takes a row into account: whether it belongs to the answer.
    pub(crate) fn admits(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        match &mut self.left {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let taken = |offset, limit| {
            let mut window = Window::new(offset, limit);
            (0..6).filter(|_| window.admits()).collect::<Vec<_>>()
        };
        assert_eq!(taken(0, None), [0, 1, 2, 3, 4, 5]);
        assert_eq!(taken(2, Some(3)), [2, 3, 4]);
        assert!(taken(7, Some(3)).is_empty());
        assert!(taken(0, Some(0)).is_empty());
        assert!(Window::new(5, Some(0)).is_full());
        assert!(!Window::new(5, Some(1)).is_full());
    }
}
