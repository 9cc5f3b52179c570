"""``python -m yolov3_lib``: see `yolov3_lib.cli`."""

from yolov3_lib.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
