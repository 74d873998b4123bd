//! Witnesstree's native core: what ledger/tree/tree.py and ledger/tree/bulk.py say in Python, byte for byte, faster.
//!
//! This file alone knows of Python. Each function takes any contiguous buffer and copies nothing of it, checks its length, then lets go of the
//! interpreter's lock and works on all cores. The caller does not write to the buffer meanwhile, as with Python's own hashlib.

mod hex;
mod run;
mod sha256;
mod share;
mod tree;

use std::mem::MaybeUninit;

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use sha256::{Kernel, NODE};

#[pymodule(gil_used = false)]
#[pyo3(name = "_native")]
mod native {
    #[pymodule_export]
    use super::{above, kernels, levels, parse_hex, sort_run};
}

/// Return the names of the ways to hash that this machine can run, the fastest first.
#[pyfunction]
fn kernels() -> Vec<&'static str> {
    Kernel::all().into_iter().map(Kernel::name).collect()
}

/// Return the packed level that stands `height` steps above the packed `nodes`.
#[pyfunction]
#[pyo3(signature = (nodes, height, threads=0, kernel=None))]
fn above<'py>(nodes: &Bound<'py, PyAny>, height: usize, threads: usize, kernel: Option<&str>) -> PyResult<Bound<'py, PyBytes>> {
    let (py, kernel, threads) = (nodes.py(), chosen(kernel)?, share::count(threads));
    let input = Input::of(nodes)?;
    let nodes = input.packed()?;
    // A step above the root, or above nothing, changes nothing.
    let height = height.min(tree::height(nodes.len()));
    if height == 0 {
        return Ok(PyBytes::new(py, nodes));
    }
    let mut room = Room::of(py, tree::length(nodes.len(), height))?;
    let top = room.space();
    py.detach(|| tree::steps(kernel, threads, nodes, height, top));
    // SAFETY: `steps` fills what it is handed.
    Ok(unsafe { room.filled() })
}

/// Return all levels above the packed `nodes`, each packed, the root last; none above a single node, or above nothing.
#[pyfunction]
#[pyo3(signature = (nodes, threads=0, kernel=None))]
fn levels<'py>(nodes: &Bound<'py, PyAny>, threads: usize, kernel: Option<&str>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let (py, kernel, threads) = (nodes.py(), chosen(kernel)?, share::count(threads));
    let input = Input::of(nodes)?;
    let nodes = input.packed()?;
    let rooms = (1..=tree::height(nodes.len())).map(|height| Room::of(py, tree::length(nodes.len(), height)));
    let mut rooms = rooms.collect::<PyResult<Vec<_>>>()?;
    let spaces = rooms.iter_mut().map(Room::space).collect();
    py.detach(|| tree::levels(kernel, threads, nodes, spaces));
    // SAFETY: `levels` fills what it is handed.
    Ok(rooms.into_iter().map(|room| unsafe { room.filled() }).collect())
}

/// Return the sorted run over the packed `digests`: 8 bytes of each and its position, 4 bytes big-endian.
#[pyfunction]
#[pyo3(signature = (digests, threads=0))]
fn sort_run<'py>(digests: &Bound<'py, PyAny>, threads: usize) -> PyResult<Bound<'py, PyBytes>> {
    let (py, threads) = (digests.py(), share::count(threads));
    let input = Input::of(digests)?;
    let digests = input.packed()?;
    if digests.len() / NODE > 1 << 32 {
        return Err(PyValueError::new_err("a run has at most 2**32 digests"));
    }
    let mut room = Room::of(py, digests.len() / NODE * run::RECORD)?;
    let run = room.space();
    py.detach(|| run::sort_run(threads, digests, run));
    // SAFETY: `sort_run` fills what it is handed.
    Ok(unsafe { room.filled() })
}

/// Return the digests in whole lines, packed, how many bytes and lines they took, and whether the line after them is wrong.
#[pyfunction]
#[pyo3(signature = (text, is_last, longest, threads=0))]
fn parse_hex<'py>(text: &Bound<'py, PyAny>, is_last: bool, longest: usize, threads: usize) -> PyResult<(Bound<'py, PyBytes>, usize, usize, bool)> {
    let (py, threads) = (text.py(), share::count(threads));
    let input = Input::of(text)?;
    let text = input.bytes();
    let parts = py.detach(|| hex::parse(threads, text, is_last, longest)).map_err(|_| PyMemoryError::new_err("no memory for the digests"))?;
    let mut room = Room::of(py, parts.iter().map(|part| part.digests.len()).sum())?;
    let mut digests = room.space();
    for part in &parts {
        digests.split_off_mut(..part.digests.len()).expect("there is room for all").write_copy_of_slice(&part.digests);
    }
    let (used, lines) = parts.iter().fold((0, 0), |(used, lines), part| (used + part.used, lines + part.lines));
    // SAFETY: the room is as long as all parts, each of which was copied.
    Ok((unsafe { room.filled() }, used, lines, parts.last().is_some_and(|part| part.is_wrong)))
}

fn chosen(name: Option<&str>) -> PyResult<Kernel> {
    // The portable one is always there.
    let mut found = Kernel::all().into_iter();
    found
        .find(|kernel| name.is_none_or(|name| name == kernel.name()))
        .ok_or_else(|| PyValueError::new_err("this machine cannot hash in that way: see kernels()"))
}

/// What a caller handed in, held as long as it is looked at.
struct Input(PyUntypedBuffer);

impl Input {
    fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyUntypedBuffer::get(object)?;
        if !buffer.is_c_contiguous() {
            return Err(PyValueError::new_err("the bytes do not stand one after the other: hand in a contiguous buffer"));
        }
        Ok(Self(buffer))
    }

    fn bytes(&self) -> &[u8] {
        let length = self.0.len_bytes();
        if length == 0 {
            return &[];
        }
        // SAFETY: the buffer is contiguous and stays where it is until it is released, which `self` does in the end; any byte is a u8. That nobody
        // writes to it meanwhile is asked of the caller.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast(), length) }
    }

    fn packed(&self) -> PyResult<&[u8]> {
        let bytes = self.bytes();
        if !bytes.len().is_multiple_of(NODE) {
            return Err(PyValueError::new_err(format!("packed digests are a whole number of {NODE} bytes, not {} bytes", bytes.len())));
        }
        Ok(bytes)
    }
}

/// New bytes that nobody else has yet, to be filled: their pages are first touched by the threads that do so, not by one that clears them before.
struct Room<'py>(Bound<'py, PyBytes>);

impl<'py> Room<'py> {
    fn of(py: Python<'py>, length: usize) -> PyResult<Self> {
        let size = ffi::Py_ssize_t::try_from(length).map_err(|_| PyMemoryError::new_err("no room for so many nodes"))?;
        // SAFETY: this gives bytes of that size, or null with an error.
        let bytes = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), size))?.cast_into_unchecked() };
        Ok(Self(bytes))
    }

    fn space(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: Python allows bytes that it made from a null pointer to be written to until somebody else has them: nobody gets them before
        // `filled`. They have that address and size as long as they live, and `self` is borrowed meanwhile.
        unsafe { std::slice::from_raw_parts_mut(ffi::PyBytes_AsString(self.0.as_ptr()).cast(), ffi::PyBytes_Size(self.0.as_ptr()).cast_unsigned()) }
    }

    /// The bytes, for anybody.
    ///
    /// # Safety
    /// All of `space` was written to.
    unsafe fn filled(self) -> Bound<'py, PyBytes> {
        self.0
    }
}
