"""From a mask file to class ids: its values, what they mean, and classes that overlap."""
