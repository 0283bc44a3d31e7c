"""The paper's table 4: networks trained for the same time on the same data, and evaluated on the same cases."""
