"""What people see: exposure metrics, charts, pages, exports and the pictures of each stage.

It reads what the stages have made, and neither loads nor stores it.
"""
