"""The Streamlit pages: read a query, draw a chart, call one function."""
