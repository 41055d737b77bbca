"""The modes paper and live: a run whose feed comes as it is received, at the wall clock's pace."""
