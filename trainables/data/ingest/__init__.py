"""From video files to a dataset: list, decode, judge, and build the frame store; resumable."""
