"""`python -m gim_tf.cli`, the same as `gim`."""

import sys

from gim_tf.cli import main

sys.exit(main())
