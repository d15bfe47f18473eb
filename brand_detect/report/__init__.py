"""What people see: exposure metrics, charts, the page, the exports and the pictures of each stage."""
