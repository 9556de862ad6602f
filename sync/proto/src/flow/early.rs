//! Segments that overtook what their receiver has to know before it can take them: streams of one connection do not
//! keep the order between them. A bounded number is kept until then.

use std::collections::VecDeque;

use activestore_types::Epoch;

use crate::frame::SegmentFrame;
use crate::limits::Limits;

#[derive(Debug)]
pub(crate) struct Early {
    most: Limits,
    frames: VecDeque<SegmentFrame>,
    bytes: usize,
    lost: bool,
}

impl Early {
    pub(crate) fn new(most: Limits) -> Self {
        Early {
            most,
            frames: VecDeque::new(),
            bytes: 0,
            lost: false,
        }
    }

    /// Keeps one, or notes that there was no room for it.
    pub(crate) fn keep(&mut self, frame: SegmentFrame) {
        let bytes = self.bytes + frame.segment.payload.len();
        if self.frames.len() >= self.most.window_segments as usize
            || bytes > self.most.window_bytes as usize
        {
            self.lost = true;
            return;
        }
        self.bytes = bytes;
        self.frames.push_back(frame);
    }

    /// Those of one chain, in the order in which they came.
    pub(crate) fn take(&mut self, epoch: Epoch) -> VecDeque<SegmentFrame> {
        let (mine, others): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.frames)
            .into_iter()
            .partition(|frame| frame.epoch == epoch);
        self.frames = others;
        let bytes: usize = mine.iter().map(|frame| frame.segment.payload.len()).sum();
        self.bytes -= bytes;
        mine
    }

    /// Whether one came for which there was no room: it is to be asked for.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost
    }
}
