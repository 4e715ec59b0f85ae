//! An allocator that counts, per thread and in all.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static SLOT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The sum over all threads. A thread has a slot of its own, until there are more threads than
/// slots, so that counting does not make threads wait for each other's cache lines.
static SLOTS: [Slot; 64] = [const { Slot(AtomicU64::new(0)) }; 64];
static THREADS: AtomicUsize = AtomicUsize::new(0);

#[repr(align(128))]
struct Slot(AtomicU64);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    // A thread that is ending has no count any more.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
    let _ = SLOT.try_with(|slot| {
        if slot.get() == usize::MAX {
            slot.set(THREADS.fetch_add(1, Ordering::Relaxed) % SLOTS.len());
        }
        if let Some(Slot(sum)) = SLOTS.get(slot.get()) {
            sum.fetch_add(1, Ordering::Relaxed);
        }
    });
}

// SAFETY: every call goes to the system's allocator as it came; counting does not allocate, for
// the cells are constant-initialised and have no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

/// The allocations of this thread during a call.
#[allow(dead_code)] // not every program with this allocator uses both counts
pub(crate) fn allocations<T>(call: impl FnOnce() -> T) -> (u64, T) {
    let before = COUNT.get();
    let result = call();
    (COUNT.get() - before, result)
}

/// The allocations of all threads since the start.
#[allow(dead_code)]
pub(crate) fn total() -> u64 {
    SLOTS
        .iter()
        .map(|Slot(sum)| sum.load(Ordering::Relaxed))
        .sum()
}
