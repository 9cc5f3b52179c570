"""What the training loop in `yolov3_lib.train` stands on.

===============  ======================================================================
`config`         `TrainConfig`: everything that decides a run's result; the named recipes
`optimizer`      parameter groups, optimizers, the learning rate at every step
`machine`        the device, its precision, the number of workers
`initialize`     a model from weights files, a COCO head mapped to VOC's classes
`ema`            the moving average of the weights
`batch_norm`     batch normalization over several processes
`state`          a run's state on disk: written atomically, verified when it's read
`record`         metrics as CSV and TensorBoard
`validation`     detections and mAP over one or several processes
===============  ======================================================================
"""
