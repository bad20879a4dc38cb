"""Files of large pictures: ``unfog sample`` of a run of art."""
