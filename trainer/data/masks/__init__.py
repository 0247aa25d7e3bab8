"""From a mask file to class ids: its values, their meaning, and classes that overlap."""
